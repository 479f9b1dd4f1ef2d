package conformance

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// What the guarantees say about the log of one aggregate: G1 to G4.

var orderedRules = []rule{{name: "many_writers_of_one_aggregate", check: manyWriters}}

var gaplessRules = []rule{
	{name: "trimmed_while_away", check: trimmedWhileAway},
	{name: "trimmed_ahead_of_a_slow_consumer", check: trimmedAhead},
	{name: "trimmed_below_while_connected", check: trimmedBelow},
	{name: "a_shared_watch_grows_wider", check: sharedGrowsWider},
	{name: "joined_again_while_changes_wait", check: joinedAgain},
}

var duplicateRules = []rule{
	{name: "cut_at_every_frame", check: cutAtEveryFrame, waits: true},
	{name: "hash_ranges_divide_a_scope", check: rangesDivide},
}

var atomicRules = []rule{{name: "large_batches_through_a_small_buffer", check: largeBatches}}

// The order of delivery is the order of the log, whoever wrote it.
func manyWriters(t *testing.T, w *world) {
	key := w.key()
	sub := w.session(t).open(t, w.types(), stream.Options{})
	var writers sync.WaitGroup
	const clients, each = 6, 15
	for i := range clients {
		writers.Go(func() {
			for n := range each {
				_, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(uint64(n), fmt.Sprintf("%d.%d", i, n))}, randomID(), pool.WriteOptions{})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Batch && c.Batch.Version == clients*each })
	writers.Wait()
	wantTold(t, "delivered", got, values(w.all(t, key))...)
}

// A consumer that was away meets a log that was trimmed below, at and above its
// cursor.
func trimmedWhileAway(t *testing.T, w *world) {
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
			key := w.grown(t, 3)
			s, o := w.session(t), stream.Options{Store: checkpoint.NewMemory()}
			sub := s.open(t, stream.Aggregates(key), o)
			take(t, sub, caughtUp)
			closed(t, sub)
			for _, v := range []string{"4", "5", "6"} {
				w.write(t, key, v)
			}
			w.trim(t, key, c.keepFrom)
			got := take(t, s.open(t, stream.Aggregates(key), o), caughtUp)
			wantTold(t, "resumed", got, tokens(c.want)...)
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

// What is trimmed before a slow consumer gets to it is announced, to the version.
func trimmedAhead(t *testing.T, w *world) {
	key := w.key()
	pad := strings.Repeat("x", 2000)
	s := w.session(t)
	sub := s.open(t, w.types(), stream.Options{Buffer: 1000})
	take(t, sub, caughtUp)
	const last = 30
	for range last {
		w.write(t, key, pad)
	}
	w.trim(t, key, last-1)
	next := uint64(1)
	for _, c := range take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Batch && c.Batch.Version == last }) {
		switch c.Kind {
		case stream.Batch:
			same(t, "version", c.Batch.Version, next)
			next++
		case stream.Truncated:
			same(t, "truncated from", c.From, next)
			if c.To >= last-1 {
				t.Errorf("truncated to %d, but only what lies below %d was trimmed", c.To, last-1)
			}
			next = c.To + 1
		default:
			t.Errorf("unexpected %v", &c)
		}
	}
}

func trimmedBelow(t *testing.T, w *world) {
	key := w.grown(t, 4)
	sub := w.session(t).open(t, w.types(), stream.Options{})
	take(t, sub, caughtUp)
	w.trim(t, key, 3)
	w.trim(t, key, 4)
	w.write(t, key, "5")
	wantTold(t, "after trims behind the cursor", take(t, sub, showing("5")), "5")
}

// Each frame that the node sends is cut, before and inside, one run for each.
func cutAtEveryFrame(t *testing.T, w *world) {
	const enough = 10
	for nth := 1; ; nth++ {
		for _, inside := range []bool{false, true} {
			if w.cutOnce(t, nth, inside) {
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
func (w *world) cutOnce(t *testing.T, nth int, inside bool) bool {
	own := *w
	own.typ = randomID()
	keys := []msg.Key{own.grown(t, 2), own.grown(t, 2)}
	s := own.session(t)
	seen := 0
	s.proxy.intercept(func(f frame) fate {
		if !f.toClient {
			return fate{}
		}
		if seen++; seen != nth {
			return fate{}
		}
		if inside {
			return fate{cut: true, at: f.size / 2}
		}
		return fate{cut: true}
	})
	sub := s.open(t, own.types(), stream.Options{Buffer: 600, Readers: 1})
	got := take(t, sub, caughtUp)
	for _, key := range keys {
		own.write(t, key, "3")
	}
	for left := 2; left > 0; {
		for _, c := range take(t, sub, showing("3")) {
			got = append(got, c)
			if showing("3")(c) {
				left--
			}
		}
	}
	for key, changes := range byKey(got) {
		wantTold(t, fmt.Sprintf("frame %d, inside %v: %v", nth, inside, key.Aggregate), changes, "1", "2", "3")
	}
	closed(t, sub)
	return s.proxy.cuts.Load() > 0
}

// Batches of many events stay whole, each event where it was, through a buffer
// that none of them fits into.
func largeBatches(t *testing.T, w *world) {
	key := w.key()
	var want []uint64
	for n := range 5 {
		var events []msg.Event
		for i := range 40 + n {
			events = append(events, msg.Event{ClientSeq: uint64(i + 1), Major: 1, Value: fmt.Appendf(nil, "%d.%d %s", n, i, strings.Repeat("x", 100))})
		}
		_, err := w.pool.WriteEvents(t.Context(), key, events, w.client, pool.WriteOptions{})
		done(t, err)
		want = append(want, hashOf(events))
	}
	start := time.Now()
	sub := w.session(t).open(t, w.types(), stream.Options{Buffer: 1000})
	got := take(t, sub, caughtUp)
	same(t, "changes", len(got), len(want)+1)
	for i := range want {
		same(t, fmt.Sprintf("batch %d, %v after the start", i, time.Since(start)), hashOf(got[i].Batch.Events), want[i])
	}
}
