package stream_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Each case builds a history, lets a subscription come to rest, changes the
// history while it is connected or away, and says what must be heard.
//
//covers:g5 g6 trims deletes lives
func TestLives(t *testing.T) {
	one := keyOf(1)
	recreate := func(continuation bool, n int) func(w *world) {
		return func(w *world) {
			w.delete(one, true, continuation)
			for i := range n {
				w.write(one, fmt.Sprint("new", i+1))
			}
		}
	}
	for _, c := range []struct {
		name   string
		opts   stream.Options
		before int
		change func(w *world)
		// away is what a resumed subscription hears, here what a connected one
		// must end with; nil where timing decides.
		away, here []string
	}{
		{
			name: "trimmed below the cursor", before: 3,
			change: func(w *world) { w.trim(one, 2) },
			away:   []string{}, here: []string{},
		},
		{
			name: "trimmed at the head after more writes", before: 2,
			change: func(w *world) { w.write(one, "c"); w.write(one, "d"); w.trim(one, 4) },
			away:   []string{"1: reset", "1: truncated 1-3", "1: 1.4 d"},
		},
		{
			name: "trimmed right above the cursor", before: 2,
			change: func(w *world) { w.write(one, "c"); w.trim(one, 3) },
			away:   []string{"1: reset", "1: truncated 1-2", "1: 1.3 c"},
		},
		{
			name: "deleted", before: 2,
			change: func(w *world) { w.delete(one, true, false) },
			away:   []string{"1: deleted"}, here: []string{"1: deleted"},
		},
		{
			name: "fresh, new head below the cursor", before: 3, change: recreate(false, 1),
			away: []string{"1: reset", "1: 1.1 new1"},
		},
		{
			name: "fresh, new head above the cursor", before: 2, change: recreate(false, 3),
			away: []string{"1: reset", "1: 1.1 new1", "1: 1.3 new2", "1: 1.4 new3"},
		},
		{
			name: "fresh, at version 1", before: 1, change: recreate(false, 1),
			away: []string{"1: reset", "1: 1.1 new1"},
		},
		{
			name: "continued", before: 2, change: recreate(true, 2),
			away: []string{"1: 0.3 new1", "1: 0.4 new2"},
		},
		{
			name: "continued at version 1", before: 1, change: recreate(true, 1),
			away: []string{"1: 0.2 new1"},
		},
		{
			name: "fresh, then continued", before: 3,
			change: func(w *world) { recreate(false, 2)(w); recreate(true, 1)(w) },
			away:   []string{"1: reset", "1: 1.1 new1", "1: 1.4 new2", "1: 1.5 new1"},
		},
		{
			name: "deleted for good", before: 1,
			change: func(w *world) { w.delete(one, false, false) },
			away:   []string{"1: deleted"}, here: []string{"1: deleted"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, quirks := range []bool{false, true} {
				t.Run(fmt.Sprint("away, quirks ", quirks), func(t *testing.T) {
					w := newWorld(t, celerianttest.Options{Quirks: quirks}, pool.Options{})
					opts := c.opts
					opts.Store = checkpoint.NewMemory()
					for i := range c.before {
						w.write(one, string(rune('a'+i)))
					}
					s := w.open(stream.Types(org, typ), opts)
					until(t, s, caughtUp)
					closeNow(t, s)
					c.change(w)
					got := until(t, w.open(stream.Types(org, typ), opts), caughtUp)
					if want := append(slices.Clone(c.away), "caught up"); !slices.Equal(got, want) {
						t.Errorf("heard %q, want %q", got, want)
					}
				})
				if c.here == nil {
					continue
				}
				t.Run(fmt.Sprint("connected, quirks ", quirks), func(t *testing.T) {
					w := newWorld(t, celerianttest.Options{Quirks: quirks}, pool.Options{})
					for i := range c.before {
						w.write(one, string(rune('a'+i)))
					}
					s := w.open(stream.Types(org, typ), c.opts)
					until(t, s, caughtUp)
					c.change(w)
					w.write(keyOf(2), "end")
					got := until(t, s, func(c stream.Change) bool { return c.Key == keyOf(2) })
					if len(c.here) > 0 && !slices.Contains(got, c.here[0]) {
						got = append(got, until(t, s, func(x stream.Change) bool { return describe(x) == c.here[0] })...)
					}
					got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "2:") })
					if !slices.Equal(got, c.here) {
						t.Errorf("heard %q, want %q", got, c.here)
					}
				})
			}
		})
	}
}

// A trim that passes the cursor while the subscription is live loses just what
// lies between: nothing else was in doubt.
//
//covers:trims
func TestTrimmedWhileLiveIsTruncatedNotReset(t *testing.T) {
	one := keyOf(1)
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	w.write(one, "a")
	s := w.open(stream.Types(org, typ), stream.Options{})
	until(t, s, caughtUp)
	// Reads are held up until the trim has happened.
	gate := make(chan struct{})
	w.node.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		if f.Direction == celerianttest.ToNode && isRead(f) {
			<-gate
		}
		return celerianttest.Pass()
	})
	w.write(one, "b")
	w.write(one, "c")
	w.write(one, "d")
	w.trim(one, 4)
	close(gate)
	got := until(t, s, func(c stream.Change) bool { return c.Kind == stream.Batch && c.Batch.Version == 4 })
	if want := []string{"1: truncated 2-3", "1: 0.4 d"}; !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// After a Deleted, a continuing recreation makes the old batches readable
// again: a read model gets them again, an actor only the new ones.
func TestContinuationAfterDeleted(t *testing.T) {
	for _, c := range []struct {
		mode stream.Continuation
		want []string
	}{
		{stream.Replay, []string{"1: 1.1 a", "1: 1.2 b", "1: 1.3 c"}},
		{stream.ContinueOnly, []string{"1: 1.3 c"}},
	} {
		one := keyOf(1)
		w := newWorld(t, celerianttest.Options{}, pool.Options{})
		w.write(one, "a")
		w.write(one, "b")
		s := w.open(stream.Types(org, typ), stream.Options{Continuation: c.mode})
		until(t, s, caughtUp)
		w.delete(one, true, true)
		until(t, s, func(c stream.Change) bool { return c.Kind == stream.Deleted })
		w.write(one, "c")
		got := until(t, s, func(c stream.Change) bool { return c.Kind == stream.Batch && c.Batch.Version == 3 })
		if !slices.Equal(got, c.want) {
			t.Errorf("mode %d heard %q, want %q", c.mode, got, c.want)
		}
	}
}

// A deleted aggregate that looks alive after the node's restart stays deleted;
// one that was never heard of stays unheard.
//
//covers:lives
func TestGhostsAreNotBelieved(t *testing.T) {
	for _, scope := range []stream.Scope{stream.Types(org, typ), stream.Aggregates(keyOf(1), keyOf(2), keyOf(3))} {
		w := newWorld(t, celerianttest.Options{Quirks: true}, pool.Options{})
		w.write(keyOf(3), "old")
		for _, n := range []int{1, 2} {
			w.write(keyOf(n), "a")
			w.write(keyOf(n), "b")
		}
		store := checkpoint.NewMemory()
		s := w.open(scope, stream.Options{Store: store, Name: "g"})
		until(t, s, caughtUp)
		closeNow(t, s)
		w.delete(keyOf(1), true, true)
		w.delete(keyOf(2), true, false)
		if err := w.node.Restart(); err != nil {
			t.Fatal(err)
		}
		// Reading a key older than the deletes is what brings the ghosts up.
		read := func(n int) (*msg.ReadResponse, error) {
			return w.calm.Read(t.Context(), &msg.ReadRequest{Key: keyOf(n), Filters: msg.ReadFilters{From: 1}})
		}
		if _, err := read(3); err != nil {
			t.Fatal(err)
		}
		if _, err := read(1); err != nil {
			t.Fatalf("the node shows no ghost (%v), so the test would prove nothing", err)
		}
		got := until(t, w.open(scope, stream.Options{Store: store, Name: "g"}), caughtUp)
		slices.Sort(got)
		if want := []string{"1: deleted", "2: deleted", "caught up"}; !slices.Equal(got, want) {
			t.Errorf("%v: resumed heard %q, want %q", scope, got, want)
		}
		got = until(t, w.open(scope, stream.Options{Name: "new"}), caughtUp)
		if want := []string{"3: 0.1 old", "caught up"}; !slices.Equal(got, want) {
			t.Errorf("%v: a newcomer heard %q, want %q", scope, got, want)
		}
	}
}

// A batch larger than what the node can answer parks its aggregate; others flow
// on. A trim past it lets the aggregate flow again.
//
//covers:g13 oversize
func TestUnreadableBatchParksItsAggregate(t *testing.T) {
	for _, quirks := range []bool{false, true} { // answered with an error, or not at all
		t.Run(fmt.Sprint("quirks ", quirks), func(t *testing.T) { unreadableParks(t, quirks) })
	}
}

func unreadableParks(t *testing.T, quirks bool) {
	one, two := keyOf(1), keyOf(2)
	w := newWorld(t, celerianttest.Options{Quirks: quirks, MaxResponseSize: 4096}, pool.Options{RequestTimeout: 150 * time.Millisecond})
	w.write(one, "a")
	w.write(one, "b")
	w.write(one, strings.Repeat("x", 8000))
	w.write(one, "d")
	w.write(two, "a")
	s := w.open(stream.Types(org, typ), stream.Options{})
	got := until(t, s, caughtUp)
	slices.Sort(got)
	if want := []string{"1: 0.1 a", "1: 0.2 b", "1: unreadable 3", "2: 0.1 a", "caught up"}; !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	if n := s.Stats().Unreadable; n != 1 {
		t.Errorf("%d aggregates are unreadable", n)
	}
	w.trim(one, 4)
	got = until(t, s, func(c stream.Change) bool { return c.Kind == stream.Batch })
	if want := []string{"1: truncated 3-3", "1: 0.4 d"}; !slices.Equal(got, want) {
		t.Errorf("after the trim heard %q, want %q", got, want)
	}
}

// Waiting changes are counted.
func TestStatsCountWhatWaits(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	for range 5 {
		w.write(keyOf(1), "a")
	}
	s := w.open(stream.Types(org, typ), stream.Options{})
	for deadline := time.Now().Add(20 * time.Second); s.State().Phase != stream.Live; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(s.State())
		}
	}
	if got := s.Stats(); got.Waiting != 6 || got.Behind != 0 || got.Listing != 0 || got.Batches != 5 {
		t.Errorf("%+v", got)
	}
	until(t, s, caughtUp)
	if got := s.Stats(); got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
}

func isRead(f *celerianttest.Frame) bool {
	_, ok := f.Request.(*msg.ReadRequest)
	return ok
}

// With a client that accepts less than the node sends, pages shrink until they
// fit.
func TestPagesShrinkToWhatTheClientAccepts(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{MaxResponseSize: 64 << 10})
	var want []string
	for i := range 300 {
		payload := strings.Repeat(string(rune('a'+i%26)), 1000)
		w.write(keyOf(1), payload)
		want = append(want, fmt.Sprintf("1: 0.%d %s", i+1, payload))
	}
	got := until(t, w.open(stream.Types(org, typ), stream.Options{}), caughtUp)
	if !slices.Equal(got, append(want, "caught up")) {
		t.Errorf("heard %d changes, want %d", len(got), len(want)+1)
	}
}

// An unknown aggregate of an explicit scope is followed once it exists.
func TestExplicitAggregateThatDoesNotExistYet(t *testing.T) {
	w := newWorld(t, celerianttest.Options{Shards: 3}, pool.Options{})
	s := w.open(stream.Aggregates(keyOf(1), keyOf(2)), stream.Options{})
	if got := until(t, s, caughtUp); len(got) != 1 {
		t.Fatalf("heard %q", got)
	}
	w.write(keyOf(3), "not in scope")
	w.write(keyOf(2), "a")
	got := until(t, s, func(c stream.Change) bool { return c.Kind == stream.Batch })
	if want := []string{"2: 0.1 a"}; !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

//covers:g14
func TestCloseReturnsByItsDeadlineAndEndsNext(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	s := w.open(stream.Everything(), stream.Options{})
	until(t, s, caughtUp)
	ended := make(chan error)
	go func() {
		_, err := s.Next(context.Background())
		ended <- err
	}()
	closeNow(t, s)
	if err := <-ended; err != stream.ErrClosed {
		t.Errorf("Next ended with %v", err)
	}
	if s.Err() != stream.ErrClosed || s.State().Phase != stream.Closed {
		t.Errorf("ended with %v in state %v", s.Err(), s.State())
	}
}
