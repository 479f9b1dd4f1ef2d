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

// truth is what was written, and by aggregate.
type truth struct {
	mu    sync.Mutex
	lives map[uint64][]string // the payloads of the present life
}

func (t *truth) wrote(n uint64, payload string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lives[n] = append(t.lives[n], payload)
}

func (t *truth) deleted(n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lives[n] = nil
}

func (t *truth) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprint(t.lives)
}

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
		built[n] = nil
		for _, h := range all {
			built[n] = append(built[n], h.payload)
		}
	}
	return fmt.Sprint(built)
}

// Connections are cut on both sides of the gateway, gateways end and others take
// over, consumers stop and continue: what was handled is what was written.
func TestStorm(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 3})
	w := newWorldOn(t, node, gateway.Options{})
	front := newProxy(t, w.address)
	behind := newProxy(t, node.Addr())
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	is := &truth{lives: make(map[uint64][]string)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { writeUntil(ctx, t, w, is, rand.New(rand.NewPCG(seed, 2))) })

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
		waitFor(t, func() bool { return j.text() == is.text() }, func() string {
			return fmt.Sprintf("handled %s, want %s", j.text(), is.text())
		})
		end()
		consumer.Wait()
	}
	if lost.Load() == 0 || cuts == 0 {
		t.Errorf("%d cuts and %d lost connections: the storm disturbed nothing", cuts, lost.Load())
	}
}

// writeUntil writes and deletes until ctx ends.
func writeUntil(ctx context.Context, t *testing.T, w *world, is *truth, random *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		n := random.Uint64N(10) + 1
		if random.IntN(100) == 0 {
			err := w.store.Pool().Delete(context.Background(), &msg.DeleteRequest{ClientID: clientID, Deletes: []msg.AggregateDelete{{Key: keyOf(n), AllowRecreate: true}}})
			switch {
			case err == nil:
				is.deleted(n)
			case !errors.Is(err, msg.ErrNotFound):
				settle(t, w, is, n)
			}
			continue
		}
		payload := fmt.Sprintf("%d-%d", n, i)
		if _, err := w.store.WriteEvents(context.Background(), keyOf(n), []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(payload)}}, clientID); err != nil {
			settle(t, w, is, n) // it may have been applied
			continue
		}
		is.wrote(n, payload)
		pause(time.Millisecond)
	}
}

// settle takes the truth about an aggregate from the node, after an answer was lost.
func settle(t *testing.T, w *world, is *truth, n uint64) {
	for range 100 {
		var payloads []string
		var failed error
		for b, err := range w.store.Pool().ReadAll(context.Background(), keyOf(n), msg.ReadFilters{}) {
			if failed = err; err == nil {
				payloads = append(payloads, string(b.Events[0].Value))
			}
		}
		if failed == nil || errors.Is(failed, msg.ErrNotFound) {
			is.mu.Lock()
			is.lives[n] = payloads
			is.mu.Unlock()
			return
		}
	}
	t.Error("the node answers no read")
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
