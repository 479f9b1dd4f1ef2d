package guarantees

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/proxy"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// The cases about time, resources and ends: G10, G14 and G15.

var stalenessRules = []world.Rule{
	{Name: "live_changes_come_in_time", Check: liveInTime, Waits: true},
	{Name: "silence_is_noticed", Check: silenceNoticed, Waits: true, Long: true},
}

var resourceRules = []world.Rule{
	{Name: "a_slow_consumer_fills_no_memory", Check: slowConsumer},
	{Name: "nothing_is_left_after_close", Check: nothingLeft},
	{Name: "many_share_one_watch", Check: manyShareOne},
	{Name: "close_interrupts_connecting", Check: closeWhileConnecting},
}

var terminationRules = []world.Rule{
	{Name: "closed", Check: endsClosed},
	{Name: "failed", Check: endsFailed},
	{Name: "trouble_is_a_state", Check: troubleIsAState},
	{Name: "another_scope", Check: anotherScope},
}

var errGivenUp = errors.New("the consumer gives up")

func liveInTime(t *testing.T, w *world.World) {
	for _, latency := range []time.Duration{0, 300 * time.Millisecond} {
		own := *w
		own.Type = world.RandomID()
		sub := own.Session(t).Open(t, own.Types(), stream.Options{Latency: latency})
		world.Take(t, sub, world.CaughtUp)
		for i := range 5 {
			value := fmt.Sprint("live ", i)
			own.Write(t, own.Key(), value)
			acked := time.Now()
			world.Take(t, sub, world.Showing(value))
			if late := time.Since(acked); late > latency+w.Server.LatencyBound {
				t.Errorf("with a latency of %v a change came %v after its acknowledgement", latency, late)
			}
		}
	}
}

// A watch that dies without a sign is noticed within 15 s, and nothing is lost.
func silenceNoticed(t *testing.T, w *world.World) {
	s, key := w.Session(t), w.Grown(t, 1)
	var mu sync.Mutex
	var phases []stream.Phase
	lost := make(chan time.Time, 100)
	// Shorter than the default by as much as a heartbeat may be late.
	liveness := max(w.Server.Heartbeat*9/5, 6*time.Second)
	sub := s.Open(t, w.Types(), stream.Options{Liveness: liveness, OnState: func(state stream.State) {
		mu.Lock()
		defer mu.Unlock()
		if phases = append(phases, state.Phase); state.Phase == stream.Reconnecting {
			select {
			case lost <- time.Now():
			default:
			}
		}
	}})
	world.Take(t, sub, world.CaughtUp)
	deaf := time.Now()
	if s.Proxy.Sink(func(l *proxy.Link) bool { return l.Watching.Load() }) == 0 {
		t.Fatal("there is no watch")
	}
	w.Write(t, key, "unheard")
	select {
	case at := <-lost:
		if took := at.Sub(deaf); took > liveness+3*time.Second {
			t.Errorf("noticed after %v", took)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("not noticed after 20 s; phases %v", phases)
	}
	if s.Proxy.Holes.Load() == 0 {
		t.Error("nothing fell into the hole")
	}
	world.WantTold(t, "found again", world.Take(t, sub, world.CaughtUp), "unheard")
	world.Eventually(t, "live again", func() bool { return sub.State().Phase == stream.Live })
}

func slowConsumer(t *testing.T, w *world.World) {
	const keys, size, buffer, readers = 60, 500, 4000, 3
	sub := w.Session(t).Open(t, w.Types(), stream.Options{Buffer: buffer, Readers: readers})
	world.Take(t, sub, world.CaughtUp)
	for range keys {
		w.Write(t, w.Key(), strings.Repeat("x", size))
	}
	world.Eventually(t, "the buffer is in use", func() bool { return sub.Stats().Buffered >= buffer/2 })
	for range 20 {
		if n := sub.Stats().Buffered; n > buffer+readers*size {
			t.Fatalf("%d bytes are buffered, the bound is %d and a batch of %d for each of %d readers", n, buffer, size, readers)
		}
		time.Sleep(5 * time.Millisecond)
	}
	left := keys
	world.Take(t, sub, func(c stream.Change) bool {
		if c.Kind == stream.Batch {
			left--
		}
		return left == 0
	})
}

func nothingLeft(t *testing.T, w *world.World) {
	s := w.Session(t)
	w.Grown(t, 2)
	before := s.Pool.Stats().Nodes
	for _, n := range before {
		world.Same(t, "watches before", n.Watches, 0)
	}
	for range 3 {
		sub := s.Open(t, w.Types(), stream.Options{})
		world.Take(t, sub, world.CaughtUp)
		watches := 0
		for _, n := range s.Pool.Stats().Nodes {
			watches += n.Watches
		}
		world.Same(t, "watches", watches, int(w.Shards))
		world.Closed(t, sub)
		<-sub.Done()
		for _, n := range s.Pool.Stats().Nodes {
			world.Same(t, "watches after", n.Watches, 0)
		}
	}
	world.Must(t, s.Pool.Close(t.Context()))
	world.Eventually(t, "no connection is left", func() bool { return s.Proxy.Open() == 0 })
}

func closeWhileConnecting(t *testing.T, w *world.World) {
	s := w.Session(t)
	s.Proxy.Down.Store(true)
	sub := s.Open(t, w.Types(), stream.Options{})
	world.Eventually(t, "it tries", func() bool { return sub.State().Cause != nil })
	start := time.Now()
	world.Closed(t, sub)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
}

func endsClosed(t *testing.T, w *world.World) {
	w.Grown(t, 2)
	sub := w.Session(t).Open(t, w.Types(), stream.Options{})
	world.Take(t, sub, world.CaughtUp)
	if err := sub.Err(); err != nil {
		t.Errorf("running, and ended with %v", err)
	}
	world.Closed(t, sub)
	world.Closed(t, sub)
	sub.Fail(errPoison) // too late: there is one cause
	if err := sub.Err(); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
	for range 2 {
		if _, err := sub.Next(t.Context()); !errors.Is(err, stream.ErrClosed) {
			t.Errorf("Next gave %v", err)
		}
	}
	world.Same(t, "phase", sub.State().Phase, stream.Closed)
}

func endsFailed(t *testing.T, w *world.World) {
	sub := w.Session(t).Open(t, w.Types(), stream.Options{})
	world.Take(t, sub, world.CaughtUp)
	sub.Fail(errPoison)
	sub.Fail(errGivenUp)
	<-sub.Done()
	if err := sub.Err(); !errors.Is(err, errPoison) || errors.Is(err, errGivenUp) {
		t.Errorf("ended with %v", err)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, errPoison) {
		t.Errorf("Next gave %v", err)
	}
	if cause := sub.State().Cause; !errors.Is(cause, errPoison) {
		t.Errorf("the last state's cause is %v", cause)
	}
}

// Cuts and an unreachable node end nothing, and the end of a context only that
// call.
func troubleIsAState(t *testing.T, w *world.World) {
	key, s := w.Key(), w.Session(t)
	sub := s.Open(t, w.Types(), stream.Options{})
	world.Take(t, sub, world.CaughtUp)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 3 {
		s.Proxy.Down.Store(i == 1)
		s.Proxy.Cut(func(*proxy.Link) bool { return i > 0 || rng.IntN(2) == 0 })
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := sub.Next(short); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next gave %v", err)
		}
		cancel()
		s.Proxy.Down.Store(false)
		if err := sub.Err(); err != nil {
			t.Fatalf("ended with %v", err)
		}
		value := fmt.Sprint("after ", i)
		w.Write(t, key, value)
		world.Take(t, sub, world.Showing(value))
	}
}

func anotherScope(t *testing.T, w *world.World) {
	o, s := stream.Options{Store: checkpoint.NewMemory(), Name: "s"}, w.Session(t)
	world.Closed(t, s.Open(t, w.Types(), o))
	_, err := stream.Open(t.Context(), stream.FromPool(s.Pool), stream.Orgs(w.Org), o)
	var other *checkpoint.ScopeError
	if !errors.As(err, &other) {
		t.Errorf("opened with another scope: %v", err)
	}
}
