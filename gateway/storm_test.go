package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/client"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// storedIn is what the node holds, by aggregate.
func storedIn(t *testing.T, w *world) string {
	t.Helper()
	lives := make(map[uint64][]string)
	for n := uint64(1); n <= stormAggregates; n++ {
		for b, err := range w.store.Pool().ReadAll(w.context(), keyOf(n), msg.ReadFilters{}) {
			if err != nil {
				if !errors.Is(err, msg.ErrNotFound) {
					t.Fatal(err)
				}
				break
			}
			lives[n] = append(lives[n], string(b.Events[0].Value))
		}
	}
	return fmt.Sprint(lives)
}

const stormAggregates = 10

// handled is a batch that was handled.
type handled struct {
	version uint64
	payload string
}

// judge follows a subscription and finds what breaks a guarantee.
type judge struct {
	t     *testing.T
	mu    sync.Mutex
	built map[uint64][]handled          // what the handled changes make
	last  map[msg.Key]checkpoint.Cursor // of this subscription
}

func (j *judge) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = make(map[msg.Key]checkpoint.Cursor)
}

func (j *judge) handle(_ context.Context, c stream.Change) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !c.Moves() {
		return nil
	}
	// Within one subscription each change follows the one before: in order, without
	// gap, none twice, across any number of connections.
	if last, seen := j.last[c.Key]; seen && last != c.Previous {
		j.t.Errorf("%v follows %v, and the one before was at %v", &c, c.Previous, last)
	}
	j.last[c.Key] = c.Cursor
	_, n := c.Key.Aggregate.Uint64s()
	switch c.Kind {
	case stream.Batch:
		// The checkpoint moves behind the effect: after a restart the end may repeat.
		kept := j.built[n]
		for len(kept) > 0 && kept[len(kept)-1].version >= c.Batch.Version {
			kept = kept[:len(kept)-1]
		}
		j.built[n] = append(kept, handled{c.Batch.Version, string(c.Batch.Events[0].Value)})
	case stream.Deleted, stream.Reset:
		j.built[n] = nil
	default:
		j.t.Errorf("unexpected %v", &c)
	}
	return nil
}

func (j *judge) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	built := make(map[uint64][]string)
	for n, all := range j.built {
		for _, h := range all {
			built[n] = append(built[n], h.payload)
		}
	}
	return fmt.Sprint(built)
}

// Connections are cut on both sides of the gateway, gateways end and others take
// over, consumers stop and continue: what was handled is what was written.
//
//covers:g20
func TestStorm(t *testing.T) {
	t.Parallel()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 3})
	w := newWorldOn(t, node, gateway.Options{})
	front := newProxy(t, w.address)
	behind := newProxy(t, node.Addr())
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { writeUntil(ctx, w, rand.New(rand.NewPCG(seed, 2))) })

	store := newStore(t)
	j := &judge{t: t, built: make(map[uint64][]handled)}
	var lost atomic.Int64
	consume := func(ctx context.Context) {
		j.begin()
		c, err := client.Connect(front.address(), client.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		err = operators.ForEach(ctx, c.Watch(stream.Types(org, typ), client.WatchOptions{
			Name: "storm", Store: store, Changes: 50, OnState: func(s stream.State) {
				if s.Phase == stream.Reconnecting {
					lost.Add(1)
				}
			},
		}), j.handle)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the consumer ended with %v", err)
		}
	}
	cuts := 0
	for round := range 3 {
		running, end := context.WithCancel(context.Background())
		var consumer sync.WaitGroup
		consumer.Go(func() { consume(running) })
		for range 6 {
			pause(time.Duration(random.IntN(150)) * time.Millisecond)
			switch random.IntN(3) {
			case 0:
				cuts += front.cut()
			case 1:
				cuts += node.CutConnections()
			case 2:
				// Another gateway takes over, behind a proxy of its own to the node.
				other, err := celeriant.Connect(behind.address())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { closeIn(t, other.Close) })
				_, address := serve(t, other, gateway.Options{})
				front.target.Store(&address)
				cuts += front.cut()
				pause(50 * time.Millisecond)
				cuts += behind.cut()
			}
		}
		if round < 2 {
			end()
			consumer.Wait()
			continue
		}
		stop()
		work.Wait()
		waitFor(t, func() bool { return j.text() == storedIn(t, w) }, func() string {
			return fmt.Sprintf("handled %s, want %s", j.text(), storedIn(t, w))
		})
		end()
		consumer.Wait()
	}
	if lost.Load() == 0 || cuts == 0 {
		t.Errorf("%d cuts and %d lost connections: the storm disturbed nothing", cuts, lost.Load())
	}
}

// writeUntil writes and deletes until ctx ends. Answers may be lost: what the node
// holds in the end is what counts.
func writeUntil(ctx context.Context, w *world, random *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		n := random.Uint64N(stormAggregates) + 1
		if random.IntN(100) == 0 {
			_ = w.store.Pool().Delete(context.Background(), &msg.DeleteRequest{ClientID: clientID, Deletes: []msg.AggregateDelete{{Key: keyOf(n), AllowRecreate: true}}})
			continue
		}
		event := msg.Event{ClientSeq: 1, Major: 1, Value: fmt.Appendf(nil, "%d-%d", n, i)}
		_, _ = w.store.WriteEvents(context.Background(), keyOf(n), []msg.Event{event}, clientID)
		pause(time.Millisecond)
	}
}

// pause lets the storm take its course: its moments are drawn by chance, and no
// result depends on them.
func pause(d time.Duration) { <-time.After(d) }

// waitFor looks until a condition holds, which another process brings about.
func waitFor(t *testing.T, holds func() bool, text func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal(text())
		}
		pause(10 * time.Millisecond)
	}
}
