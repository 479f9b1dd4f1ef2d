package stream_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

func TestLiveOnlyListsAndReadsNothing(t *testing.T) {
	w := newWorld(t, celerianttest.Options{Shards: 2}, pool.Options{})
	for n := range 20 {
		w.write(keyOf(n), "old")
		w.write(keyOf(n), "old")
	}
	s := w.open(stream.Types(org, typ), stream.Options{Start: stream.LiveOnly})
	if seen := until(t, s, caughtUp); len(seen) != 1 {
		t.Errorf("delivered at the start: %q", seen)
	}
	if stats := s.Stats(); stats.Lists != 0 || stats.Reads != 0 {
		t.Errorf("%d lists and %d reads at the start", stats.Lists, stats.Reads)
	}
	w.write(keyOf(3), "new")
	w.write(keyOf(100), "first")
	var seen []string
	for len(seen) < 2 {
		seen = append(seen, until(t, s, func(c stream.Change) bool { return c.Kind == stream.Batch })...)
	}
	slices.Sort(seen)
	if want := []string{"100: 0.1 first", "3: 0.3 new"}; !slices.Equal(seen, want) {
		t.Errorf("delivered %q, want %q", seen, want)
	}
}

// lateClock is a node's that shows some earlier time.
type lateClock struct {
	strictClock
	late atomic.Int64
}

func (c *lateClock) Now() time.Time {
	return c.strictClock.Now().Add(-time.Duration(c.late.Load()))
}

// A live subscription delivers every batch that is committed from then on, in order and
// once, although connections are cut all the time, and no batch from before.
func TestLiveOnlyMissesNothing(t *testing.T) {
	const aggregates, rounds = 8, 12
	clock := new(lateClock)
	clock.late.Store(int64(time.Hour))
	w := newWorld(t, celerianttest.Options{Shards: 2, Clock: clock}, pool.Options{})
	for n := range aggregates {
		w.write(keyOf(n), "old")
		w.write(keyOf(n), "old")
	}
	clock.late.Store(0)
	s := w.open(stream.Types(org, typ), stream.Options{Start: stream.LiveOnly})
	until(t, s, caughtUp)
	var writing sync.WaitGroup
	writing.Go(func() {
		for round := range rounds {
			for n := range aggregates {
				if (n+round)%3 == 0 {
					w.cut.cutSome(rand.New(rand.NewPCG(uint64(round), 6)), 0.7)
				}
				if n != round%aggregates {
					w.write(keyOf(n), fmt.Sprint(round))
				}
			}
		}
		for n := range aggregates {
			w.write(keyOf(n), "last")
		}
	})
	got, last := make(map[msg.Key][]string), 0
	for last < aggregates {
		until(t, s, func(c stream.Change) bool {
			if c.Kind != stream.Batch {
				return false
			}
			text := string(c.Batch.Events[0].Value)
			got[c.Key] = append(got[c.Key], text)
			if text == "last" {
				last++
			}
			return text == "last"
		})
	}
	writing.Wait()
	if w.cut.cuts.Load() == 0 {
		t.Error("no connection was cut")
	}
	for n := range aggregates {
		var want []string
		for round := range rounds {
			if n != round%aggregates {
				want = append(want, fmt.Sprint(round))
			}
		}
		if want = append(want, "last"); !slices.Equal(got[keyOf(n)], want) {
			t.Errorf("of %d came %q, want %q", n, got[keyOf(n)], want)
		}
	}
}

func TestGivenCursors(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	for n := range 3 {
		for _, text := range []string{"a", "b", "c"} {
			w.write(keyOf(n), text)
		}
	}
	given := make(map[msg.Key]checkpoint.Cursor)
	first := w.open(stream.Types(org, typ), stream.Options{})
	until(t, first, func(c stream.Change) bool {
		if c.Kind == stream.Batch && c.Batch.Version == 2 {
			text, _ := c.Cursor.MarshalText()
			var cursor checkpoint.Cursor
			if err := cursor.UnmarshalText(text); err != nil {
				t.Fatal(err)
			}
			given[c.Key] = cursor
		}
		return caughtUp(c)
	})
	delete(given, keyOf(2))
	store := checkpoint.NewMemory()
	second := w.open(stream.Types(org, typ), stream.Options{Name: "given", Store: store, Cursors: given})
	seen := until(t, second, caughtUp)
	slices.Sort(seen)
	if want := []string{"0: 0.3 c", "1: 0.3 c", "2: 0.1 a", "2: 0.2 b", "2: 0.3 c", "caught up"}; !slices.Equal(seen, want) {
		t.Errorf("delivered %q, want %q", seen, want)
	}
	// A stored cursor goes before a given one.
	third := w.open(stream.Types(org, typ), stream.Options{Name: "given", Store: store, Cursors: given})
	if seen := until(t, third, caughtUp); len(seen) != 1 {
		t.Errorf("delivered again: %q", seen)
	}
}

// A cursor of another log is found out as a stored one is.
func TestGivenCursorOfAnotherLog(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	w.write(keyOf(1), "a")
	w.write(keyOf(1), "b")
	forged := checkpoint.Cursor{Version: 2, Anchor: checkpoint.Anchor{ServerTimestamp: 1, Hash: 7}}
	s := w.open(stream.Types(org, typ), stream.Options{Cursors: map[msg.Key]checkpoint.Cursor{keyOf(1): forged}})
	seen := until(t, s, caughtUp)
	if want := []string{"1: reset", "1: 1.1 a", "1: 1.2 b", "caught up"}; !slices.Equal(seen, want) {
		t.Errorf("delivered %q, want %q", seen, want)
	}
}

func TestLiveOnlyAndCursorsAreRefused(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	given := map[msg.Key]checkpoint.Cursor{keyOf(1): {Version: 1}}
	for want, o := range map[string]stream.Options{
		"LiveOnly":             {Start: stream.LiveOnly, Store: checkpoint.NewMemory()},
		"LiveOnly with Leased": {Start: stream.LiveOnly, Ownership: stream.Leased},
		"which reads nothing":  {Start: stream.LiveOnly, Cursors: given},
		"without a Store":      {Ownership: stream.Leased},
		"with Leased":          {Ownership: stream.Leased, Store: checkpoint.NewMemory(), Cursors: given},
		"does not follow":      {Cursors: map[msg.Key]checkpoint.Cursor{{Org: org}: {Version: 1}}},
		"2⁶³":                  {Cursors: map[msg.Key]checkpoint.Cursor{keyOf(1): {Version: 1 << 63}}},
		"Start is 3":           {Start: stream.LiveOnly + 1},
	} {
		s, err := stream.Open(t.Context(), w.source(), stream.Types(org, typ), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %v, want a word of %q", err, want)
		}
		if err == nil {
			closeNow(t, s)
		}
	}
}
