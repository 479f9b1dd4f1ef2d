package stream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Each frame the node sends to a subscription, acknowledgements, heartbeats,
// notifications, list pages and read pages alike, is cut at each of its bytes,
// one run for each. Nothing is lost or repeated.
//
//covers:g2 cuts
func TestCutAtEveryByteOfEveryFrame(t *testing.T) {
	cuts := 0
	for frame := 1; ; frame++ {
		size := 1
		for at := 0; at <= size; at += 1 + size/40 {
			got := cutRun(t, frame, at)
			if got == 0 {
				if frame < 10 {
					t.Fatalf("a run has only %d frames", frame-1)
				}
				t.Logf("%d cuts", cuts)
				return
			}
			size = got
			cuts++
		}
	}
}

// cutRun follows two aggregates while the nth frame to the client is cut at a
// byte, and returns that frame's size, 0 if there were fewer frames.
func cutRun(t *testing.T, nth, at int) (size int) {
	synctest.Test(t, func(t *testing.T) {
		node, err := celerianttest.Start(celerianttest.Options{InMemory: true, Shards: 2, Clock: new(strictClock)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = node.Close() }()
		var mu sync.Mutex
		counted := 0
		p := newPool(t, pool.Options{Address: "node:1", Dial: node.DialContext, DisableCompression: true})
		defer func() { _ = p.Close(context.Background()) }()
		write := func(n int) {
			if _, err := p.WriteEvents(t.Context(), keyOf(n), []msg.Event{{Major: 1, ClientSeq: 1, Value: []byte("x")}}, clientID, pool.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			write(1)
			write(2)
		}
		node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
			if _, ok := f.Response.(*msg.WriteResponse); ok || f.Direction != celerianttest.ToClient {
				return celerianttest.Pass()
			}
			mu.Lock()
			defer mu.Unlock()
			if counted++; counted != nth {
				return celerianttest.Pass()
			}
			size = f.Size
			return celerianttest.CutAfter(at)
		})
		s, err := stream.Open(t.Context(), stream.FromPool(p), stream.Types(org, typ), stream.Options{Buffer: 600, Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close(context.Background()) }()
		next := map[msg.Key]uint64{}
		take := func(until func() bool) {
			for !until() {
				changes, err := s.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range changes {
					if c.Kind == stream.CaughtUp {
						next[msg.Key{}]++
						continue
					}
					if next[c.Key]++; c.Kind != stream.Batch || c.Batch.Version != next[c.Key] {
						t.Fatalf("frame %d cut at %d: %v came as number %d", nth, at, &c, next[c.Key])
					}
				}
			}
		}
		take(func() bool { return next[msg.Key{}] > 0 })
		if next[keyOf(1)] != 3 || next[keyOf(2)] != 3 {
			t.Fatalf("frame %d cut at %d: caught up with %v", nth, at, next)
		}
		write(1)
		take(func() bool { return next[keyOf(1)] == 4 })
		write(2)
		take(func() bool { return next[keyOf(2)] == 4 })
	})
	return size
}

// A connection that goes dead without a sign leaves Live within the liveness
// bound and is replaced.
//
//covers:g10 halfopen
func TestHalfOpenConnectionIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, err := celerianttest.Start(celerianttest.Options{InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = node.Close() }()
		p := newPool(t, pool.Options{Address: "node:1", Dial: node.DialContext, WatchLiveness: time.Hour})
		defer func() { _ = p.Close(context.Background()) }()
		type change struct {
			phase stream.Phase
			at    time.Time
		}
		var mu sync.Mutex
		var states []change
		s, err := stream.Open(t.Context(), stream.FromPool(p), stream.Everything(), stream.Options{
			OnState: func(s stream.State) {
				mu.Lock()
				defer mu.Unlock()
				states = append(states, change{s.Phase, time.Now()})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close(context.Background()) }()
		if c, err := s.Next(t.Context()); err != nil || c[0].Kind != stream.CaughtUp {
			t.Fatal(c, err)
		}
		time.Sleep(time.Minute)
		if phase := s.State().Phase; phase != stream.Live {
			t.Fatalf("an idle minute led to %v", phase)
		}
		var dead atomic.Bool
		dead.Store(true)
		node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
			if dead.Load() && f.Direction == celerianttest.ToClient {
				return celerianttest.Drop()
			}
			return celerianttest.Pass()
		})
		silence := time.Now()
		time.Sleep(16 * time.Second)
		synctest.Wait()
		mu.Lock()
		left := states[slices.IndexFunc(states, func(c change) bool { return c.phase == stream.Reconnecting })]
		mu.Unlock()
		if left.at.Before(silence) || left.at.Sub(silence) > 15*time.Second {
			t.Fatalf("Live was left at %v", left.at.Sub(silence))
		}
		dead.Store(false)
		if c, err := s.Next(t.Context()); err != nil || c[0].Kind != stream.CaughtUp {
			t.Fatal(c, err)
		}
		if _, err := p.WriteEvents(t.Context(), keyOf(1), []msg.Event{{Major: 1, ClientSeq: 1}}, clientID, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		c, err := s.Next(t.Context())
		if err != nil || c[0].Kind != stream.Batch || c[0].Key != keyOf(1) {
			t.Fatal(c, err)
		}
	})
}

// A consumer that takes nothing does not keep the notifications from being
// drained; what the node dropped all the same is found by reconciling.
//
//covers:slow
func TestSlowConsumerLosesNothing(t *testing.T) {
	w := newWorld(t, celerianttest.Options{MaxUndelivered: 20}, pool.Options{})
	s := w.open(stream.Types(org, typ), stream.Options{Buffer: 2000})
	until(t, s, caughtUp)
	const keys, each = 300, 4
	for n := range each {
		for k := range keys {
			w.write(keyOf(k), fmt.Sprint(n))
		}
	}
	if n := s.Stats().Buffered; n > 2000+1<<10 {
		t.Errorf("%d bytes are buffered, the bound is 2000 and one batch", n)
	}
	next := make(map[msg.Key]uint64)
	done := 0
	until(t, s, func(c stream.Change) bool {
		if c.Kind != stream.Batch {
			return false
		}
		if c.Batch.Version != next[c.Key]+1 {
			t.Errorf("version %d of %v came after %d", c.Batch.Version, c.Key, next[c.Key])
		}
		next[c.Key] = c.Batch.Version
		done++
		return done == keys*each
	})
}

//covers:lease
func TestAnotherOwnerEndsTheSubscription(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	store := checkpoint.NewMemory()
	w.write(keyOf(1), "a")
	first := w.open(stream.Everything(), stream.Options{Store: store, Name: "s"})
	changes, err := first.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.open(stream.Everything(), stream.Options{Store: store, Name: "s"})
	if err := first.Commit(t.Context(), stream.Entries(changes)); !errors.Is(err, checkpoint.ErrFenced) {
		t.Errorf("the deposed owner's commit returned %v", err)
	}
	<-first.Done()
	if !errors.Is(first.Err(), checkpoint.ErrFenced) {
		t.Errorf("it ended with %v", first.Err())
	}
}

func TestAnotherScopeIsRefusedUnlessAdopted(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	o := stream.Options{Store: checkpoint.NewMemory(), Name: "s"}
	closeNow(t, w.open(stream.Orgs(org), o))
	_, err := stream.Open(t.Context(), w.source(), stream.Everything(), o)
	var scope *checkpoint.ScopeError
	if !errors.As(err, &scope) {
		t.Fatalf("opened with another scope: %v", err)
	}
	o.AdoptScope = true
	closeNow(t, w.open(stream.Everything(), o))
}

// brittle is a store that fails while told to.
type brittle struct {
	checkpoint.Store
	failing atomic.Bool
	loads   atomic.Int64
	saves   atomic.Int64
}

var errBrittle = errors.New("the disk is away")

func (b *brittle) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	b.loads.Add(1)
	if b.failing.Load() {
		return nil, errBrittle
	}
	return b.Store.Load(ctx, name, keys)
}

func (b *brittle) Save(ctx context.Context, o checkpoint.Owner, e []checkpoint.Entry) error {
	b.saves.Add(1)
	if b.failing.Load() {
		return errBrittle
	}
	return b.Store.Save(ctx, o, e)
}

// A store that is away for minutes pauses the subscription; it does not spin,
// and it goes on when the store is back.
//
//covers:store
func TestStoreAwayForMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, err := celerianttest.Start(celerianttest.Options{InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = node.Close() }()
		p := newPool(t, pool.Options{Address: "node:1", Dial: node.DialContext})
		defer func() { _ = p.Close(context.Background()) }()
		store := &brittle{Store: checkpoint.NewMemory()}
		if _, err := p.WriteEvents(t.Context(), keyOf(1), []msg.Event{{Major: 1, ClientSeq: 1}}, clientID, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		s, err := stream.Open(t.Context(), stream.FromPool(p), stream.Everything(), stream.Options{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close(context.Background()) }()
		store.failing.Store(true)
		time.Sleep(5 * time.Minute)
		if n := store.loads.Load(); n > 150 {
			t.Errorf("%d look-ups in five minutes", n)
		}
		store.failing.Store(false)
		changes, err := s.Next(t.Context())
		if err != nil || changes[0].Kind != stream.Batch {
			t.Fatal(changes, err)
		}
		store.failing.Store(true)
		time.AfterFunc(2*time.Minute, func() { store.failing.Store(false) })
		if err := s.Commit(t.Context(), stream.Entries(changes)); err != nil {
			t.Fatal(err)
		}
		if n := store.saves.Load(); n > 80 {
			t.Errorf("%d saves in two minutes", n)
		}
	})
}

//covers:g11
func TestRunStoresBehindTheHandler(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	for range 5 {
		w.write(keyOf(1), "x")
	}
	o := stream.Options{Store: checkpoint.NewMemory(), Name: "s"}
	s := w.open(stream.Everything(), o)
	broken := errors.New("broken")
	err := s.Run(t.Context(), func(_ context.Context, c stream.Change) error {
		if c.Batch.Version == 4 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) || !errors.Is(s.Err(), broken) {
		t.Fatalf("Run returned %v, the subscription ended with %v", err, s.Err())
	}
	closeNow(t, s)
	got := until(t, w.open(stream.Everything(), o), caughtUp)
	if want := []string{"1: 0.4 x", "1: 0.5 x", "caught up"}; !slices.Equal(got, want) {
		t.Errorf("resumed with %q, want %q", got, want)
	}
}

//covers:g5
func TestAllResumesWithWhatWasNotHandled(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	for range 5 {
		w.write(keyOf(1), "x")
	}
	s := w.open(stream.Everything(), stream.Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var versions []uint64
	for c, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Batch.Version == 3 {
			break
		}
		versions = append(versions, c.Batch.Version)
	}
	enough := errors.New("enough")
	for c, err := range s.All(ctx) {
		if err != nil {
			if !errors.Is(err, enough) {
				t.Fatal(err)
			}
			break
		}
		if c.Kind == stream.CaughtUp {
			cancel(enough)
			continue
		}
		versions = append(versions, c.Batch.Version)
	}
	if want := []uint64{1, 2, 3, 4, 5}; !slices.Equal(versions, want) {
		t.Errorf("handled %v, want %v", versions, want)
	}
}

//covers:g15
func TestUnreachableNodeIsAState(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	w.cut.down.Store(true)
	causes := make(chan error, 100)
	s := w.open(stream.Everything(), stream.Options{OnState: func(s stream.State) {
		if s.Cause != nil {
			select {
			case causes <- s.Cause:
			default:
			}
		}
	}})
	if cause := <-causes; !errors.Is(cause, pool.ErrConnect) {
		t.Errorf("the cause is %v", cause)
	}
	w.cut.down.Store(false)
	until(t, s, caughtUp)
}

//covers:g15 keys
func TestRefusedCredentialsEndTheSubscription(t *testing.T) {
	w := newWorld(t, celerianttest.Options{RequireIdentity: true}, pool.Options{DisableCompression: true})
	s := w.open(stream.Everything(), stream.Options{})
	_, err := s.Next(t.Context())
	if !errors.Is(err, msg.ErrUnauthorized) || !errors.Is(s.Err(), msg.ErrUnauthorized) {
		t.Errorf("Next returned %v, the subscription ended with %v", err, s.Err())
	}
}
