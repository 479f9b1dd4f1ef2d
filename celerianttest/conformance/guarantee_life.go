package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// What the guarantees say about time, resources and ends: G10, G14 and G15.

var stalenessRules = []rule{
	{name: "live_changes_come_in_time", check: liveInTime, waits: true},
	{name: "silence_is_noticed", check: silenceNoticed, waits: true},
}

var resourceRules = []rule{
	{name: "a_slow_consumer_fills_no_memory", check: slowConsumer},
	{name: "nothing_is_left_after_close", check: nothingLeft},
	{name: "many_share_one_watch", check: manyShareOne},
	{name: "close_interrupts_connecting", check: closeWhileConnecting},
}

var terminationRules = []rule{
	{name: "closed", check: endsClosed},
	{name: "failed", check: endsFailed},
	{name: "trouble_is_a_state", check: troubleIsAState},
	{name: "another_scope", check: anotherScope},
}

func liveInTime(t *testing.T, w *world) {
	for _, latency := range []time.Duration{0, 300 * time.Millisecond} {
		own := *w
		own.typ = randomID()
		sub := own.session(t).open(t, own.types(), stream.Options{Latency: latency})
		take(t, sub, caughtUp)
		for i := range 5 {
			value := fmt.Sprint("live ", i)
			own.write(t, own.key(), value)
			acked := time.Now()
			take(t, sub, showing(value))
			if late := time.Since(acked); late > latency+w.target.latencyBound() {
				t.Errorf("with a latency of %v a change came %v after its acknowledgement", latency, late)
			}
		}
	}
}

// A watch that dies without a sign is noticed within 15 s, and nothing is lost.
func silenceNoticed(t *testing.T, w *world) {
	s, key := w.session(t), w.grown(t, 1)
	var mu sync.Mutex
	var phases []stream.Phase
	lost := make(chan time.Time, 100)
	sub := s.open(t, w.types(), stream.Options{OnState: func(state stream.State) {
		mu.Lock()
		defer mu.Unlock()
		if phases = append(phases, state.Phase); state.Phase == stream.Reconnecting {
			select {
			case lost <- time.Now():
			default:
			}
		}
	}})
	take(t, sub, caughtUp)
	deaf := time.Now()
	if s.proxy.sink(func(l *link) bool { return l.watching.Load() }) == 0 {
		t.Fatal("there is no watch")
	}
	w.write(t, key, "unheard")
	select {
	case at := <-lost:
		if took := at.Sub(deaf); took > 16*time.Second {
			t.Errorf("noticed after %v", took)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("not noticed after 20 s; phases %v", phases)
	}
	if s.proxy.holes.Load() == 0 {
		t.Error("nothing fell into the hole")
	}
	wantTold(t, "found again", take(t, sub, caughtUp), "unheard")
	eventually(t, "live again", func() bool { return sub.State().Phase == stream.Live })
}

func slowConsumer(t *testing.T, w *world) {
	const keys, size, buffer, readers = 60, 500, 4000, 3
	sub := w.session(t).open(t, w.types(), stream.Options{Buffer: buffer, Readers: readers})
	take(t, sub, caughtUp)
	for range keys {
		w.write(t, w.key(), strings.Repeat("x", size))
	}
	eventually(t, "the buffer is in use", func() bool { return sub.Stats().Buffered >= buffer/2 })
	for range 20 {
		if n := sub.Stats().Buffered; n > buffer+readers*size {
			t.Fatalf("%d bytes are buffered, the bound is %d and a batch of %d for each of %d readers", n, buffer, size, readers)
		}
		time.Sleep(5 * time.Millisecond)
	}
	left := keys
	take(t, sub, func(c stream.Change) bool {
		if c.Kind == stream.Batch {
			left--
		}
		return left == 0
	})
}

func nothingLeft(t *testing.T, w *world) {
	s := w.session(t)
	w.grown(t, 2)
	before := s.pool.Stats().Nodes
	for _, n := range before {
		same(t, "watches before", n.Watches, 0)
	}
	for range 3 {
		sub := s.open(t, w.types(), stream.Options{})
		take(t, sub, caughtUp)
		watches := 0
		for _, n := range s.pool.Stats().Nodes {
			watches += n.Watches
		}
		same(t, "watches", watches, int(w.shards))
		closed(t, sub)
		<-sub.Done()
		for _, n := range s.pool.Stats().Nodes {
			same(t, "watches after", n.Watches, 0)
		}
	}
	done(t, s.pool.Close(t.Context()))
	eventually(t, "no connection is left", func() bool { return s.proxy.open() == 0 })
}

func closeWhileConnecting(t *testing.T, w *world) {
	s := w.session(t)
	s.proxy.down.Store(true)
	sub := s.open(t, w.types(), stream.Options{})
	eventually(t, "it tries", func() bool { return sub.State().Cause != nil })
	start := time.Now()
	closed(t, sub)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
}

func endsClosed(t *testing.T, w *world) {
	w.grown(t, 2)
	sub := w.session(t).open(t, w.types(), stream.Options{})
	take(t, sub, caughtUp)
	if err := sub.Err(); err != nil {
		t.Errorf("running, and ended with %v", err)
	}
	closed(t, sub)
	closed(t, sub)
	sub.Fail(errPoison) // too late: there is one cause
	if err := sub.Err(); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
	for range 2 {
		if _, err := sub.Next(t.Context()); !errors.Is(err, stream.ErrClosed) {
			t.Errorf("Next gave %v", err)
		}
	}
	same(t, "phase", sub.State().Phase, stream.Closed)
}

func endsFailed(t *testing.T, w *world) {
	sub := w.session(t).open(t, w.types(), stream.Options{})
	take(t, sub, caughtUp)
	sub.Fail(errPoison)
	sub.Fail(errCrash)
	<-sub.Done()
	if err := sub.Err(); !errors.Is(err, errPoison) || errors.Is(err, errCrash) {
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
func troubleIsAState(t *testing.T, w *world) {
	key, s := w.key(), w.session(t)
	sub := s.open(t, w.types(), stream.Options{})
	take(t, sub, caughtUp)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 3 {
		s.proxy.down.Store(i == 1)
		s.proxy.cut(func(*link) bool { return i > 0 || rng.IntN(2) == 0 })
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := sub.Next(short); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next gave %v", err)
		}
		cancel()
		s.proxy.down.Store(false)
		if err := sub.Err(); err != nil {
			t.Fatalf("ended with %v", err)
		}
		value := fmt.Sprint("after ", i)
		w.write(t, key, value)
		take(t, sub, showing(value))
	}
}

func anotherScope(t *testing.T, w *world) {
	o, s := stream.Options{Store: checkpoint.NewMemory(), Name: "s"}, w.session(t)
	closed(t, s.open(t, w.types(), o))
	_, err := stream.Open(t.Context(), stream.FromPool(s.pool), stream.Orgs(w.org), o)
	var other *checkpoint.ScopeError
	if !errors.As(err, &other) {
		t.Errorf("opened with another scope: %v", err)
	}
}
