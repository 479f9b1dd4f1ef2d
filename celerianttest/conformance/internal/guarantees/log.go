package guarantees

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/proxy"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// The cases about the log of one aggregate: G1 to G4.

var orderedRules = []world.Rule{{Name: "many_writers_of_one_aggregate", Check: manyWriters}}

var gaplessRules = []world.Rule{
	{Name: "trimmed_while_away", Check: trimmedWhileAway},
	{Name: "trimmed_ahead_of_a_slow_consumer", Check: trimmedAhead},
	{Name: "trimmed_below_while_connected", Check: trimmedBelow},
	{Name: "a_shared_watch_grows_wider", Check: sharedGrowsWider},
	{Name: "joined_again_while_changes_wait", Check: joinedAgain},
}

var duplicateRules = []world.Rule{
	{Name: "cut_at_every_frame", Check: cutAtEveryFrame, Waits: true},
	{Name: "hash_ranges_divide_a_scope", Check: rangesDivide},
}

var atomicRules = []world.Rule{{Name: "large_batches_through_a_small_buffer", Check: largeBatches}}

// The order of delivery is the order of the log, whoever wrote it.
func manyWriters(t *testing.T, w *world.World) {
	key := w.Key()
	sub := w.Session(t).Open(t, w.Types(), stream.Options{})
	var writers sync.WaitGroup
	const clients, each = 6, 15
	for i := range clients {
		writers.Go(func() {
			for n := range each {
				_, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(uint64(n), fmt.Sprintf("%d.%d", i, n))}, world.RandomID(), pool.WriteOptions{})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := world.Take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Batch && c.Batch.Version == clients*each })
	writers.Wait()
	world.WantTold(t, "delivered", got, world.Values(w.All(t, key))...)
}

// A consumer that was away meets a log that was trimmed below, at and above its
// cursor.
func trimmedWhileAway(t *testing.T, w *world.World) {
	for _, c := range []struct {
		keepFrom uint64
		want     string
	}{
		{2, "4 5 6"},
		{3, "4 5 6"}, // the cursor's own batch is the first one left
		{4, "reset truncated 1-3 4 5 6"},
		{6, "reset truncated 1-5 6"},
	} {
		t.Run(fmt.Sprint("keep from ", c.keepFrom), func(t *testing.T) {
			key := w.Grown(t, 3)
			s, o := w.Session(t), stream.Options{Store: checkpoint.NewMemory()}
			sub := s.Open(t, stream.Aggregates(key), o)
			world.Take(t, sub, world.CaughtUp)
			world.Closed(t, sub)
			for _, v := range []string{"4", "5", "6"} {
				w.Write(t, key, v)
			}
			w.Trim(t, key, c.keepFrom)
			got := world.Take(t, s.Open(t, stream.Aggregates(key), o), world.CaughtUp)
			world.WantTold(t, "resumed", got, tokens(c.want)...)
		})
	}
}

// tokens parts a description of changes.
func tokens(text string) []string {
	var all []string
	for word := range strings.FieldsSeq(text) {
		if n := len(all); n > 0 && all[n-1] == "truncated" {
			all[n-1] += " " + word
		} else {
			all = append(all, word)
		}
	}
	return all
}

// Batches that are trimmed before a slow consumer gets to them are announced, to the version.
func trimmedAhead(t *testing.T, w *world.World) {
	key := w.Key()
	pad := strings.Repeat("x", 2000)
	s := w.Session(t)
	sub := s.Open(t, w.Types(), stream.Options{Buffer: 1000})
	world.Take(t, sub, world.CaughtUp)
	const last = 30
	for range last {
		w.Write(t, key, pad)
	}
	w.Trim(t, key, last-1)
	next := uint64(1)
	for _, c := range world.Take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Batch && c.Batch.Version == last }) {
		switch c.Kind {
		case stream.Batch:
			world.Same(t, "version", c.Batch.Version, next)
			next++
		case stream.Truncated:
			world.Same(t, "truncated from", c.From, next)
			if c.To >= last-1 {
				t.Errorf("truncated to %d, but only what lies below %d was trimmed", c.To, last-1)
			}
			next = c.To + 1
		default:
			t.Errorf("unexpected %v", &c)
		}
	}
}

func trimmedBelow(t *testing.T, w *world.World) {
	key := w.Grown(t, 4)
	sub := w.Session(t).Open(t, w.Types(), stream.Options{})
	world.Take(t, sub, world.CaughtUp)
	w.Trim(t, key, 3)
	w.Trim(t, key, 4)
	w.Write(t, key, "5")
	world.WantTold(t, "after trims behind the cursor", world.Take(t, sub, world.Showing("5")), "5")
}

// Each frame that the node sends is cut, before and inside, one run for each.
func cutAtEveryFrame(t *testing.T, w *world.World) {
	const enough = 10
	for nth := 1; ; nth++ {
		for _, inside := range []bool{false, true} {
			if cutOnce(t, w, nth, inside) {
				continue
			}
			if nth <= enough {
				t.Errorf("a run has only %d frames", nth-1)
			}
			return
		}
	}
}

// cutOnce follows two aggregates while the nth frame is cut, and reports whether
// there was one.
func cutOnce(t *testing.T, w *world.World, nth int, inside bool) bool {
	own := *w
	own.Type = world.RandomID()
	keys := []msg.Key{own.Grown(t, 2), own.Grown(t, 2)}
	s := own.Session(t)
	seen := 0
	s.Proxy.Intercept(func(f proxy.Frame) proxy.Fate {
		if !f.ToClient {
			return proxy.Fate{}
		}
		if seen++; seen != nth {
			return proxy.Fate{}
		}
		if inside {
			return proxy.Fate{Cut: true, At: f.Size / 2}
		}
		return proxy.Fate{Cut: true}
	})
	sub := s.Open(t, own.Types(), stream.Options{Buffer: 600, Readers: 1})
	got := world.Take(t, sub, world.CaughtUp)
	for _, key := range keys {
		own.Write(t, key, "3")
	}
	for left := 2; left > 0; {
		for _, c := range world.Take(t, sub, world.Showing("3")) {
			got = append(got, c)
			if world.Showing("3")(c) {
				left--
			}
		}
	}
	for key, changes := range world.ByKey(got) {
		world.WantTold(t, fmt.Sprintf("frame %d, inside %v: %v", nth, inside, key.Aggregate), changes, "1", "2", "3")
	}
	world.Closed(t, sub)
	return s.Proxy.Cuts.Load() > 0
}

// Batches of many events stay whole, each event where it was, through a buffer
// that none of them fits into.
func largeBatches(t *testing.T, w *world.World) {
	key := w.Key()
	var want []uint64
	for n := range 5 {
		var events []msg.Event
		for i := range 40 + n {
			events = append(events, msg.Event{ClientSeq: uint64(i + 1), Major: 1, Value: fmt.Appendf(nil, "%d.%d %s", n, i, strings.Repeat("x", 100))})
		}
		_, err := w.Pool.WriteEvents(t.Context(), key, events, w.Client, pool.WriteOptions{})
		world.Must(t, err)
		want = append(want, record.HashOf(events))
	}
	start := time.Now()
	sub := w.Session(t).Open(t, w.Types(), stream.Options{Buffer: 1000})
	got := world.Take(t, sub, world.CaughtUp)
	world.Same(t, "changes", len(got), len(want)+1)
	for i := range want {
		world.Same(t, fmt.Sprintf("batch %d, %v after the start", i, time.Since(start)), record.HashOf(got[i].Batch.Events), want[i])
	}
}
