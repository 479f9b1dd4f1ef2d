package stream_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// From now, nothing that was there is delivered and everything that comes is,
// also by a later run, for which what was created meanwhile is new.
//
//covers:g9
func TestFromNow(t *testing.T) {
	for _, quirks := range []bool{false, true} {
		t.Run(fmt.Sprint("quirks ", quirks), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, celerianttest.Options{Shards: 2, Quirks: quirks}, pool.Options{})
			for k := range 6 {
				for range k + 1 {
					w.write(keyOf(k), "old")
				}
			}
			w.trim(keyOf(5), 6)
			w.delete(keyOf(4), true, false)
			w.delete(keyOf(3), true, false)
			for range 2 {
				w.write(keyOf(3), "old, fresh")
			}
			w.write(keyOf(6), "old")
			w.write(keyOf(6), "old")
			w.delete(keyOf(6), true, false)
			w.write(keyOf(6), "old, fresh")
			o := stream.Options{Name: "now", Store: checkpoint.NewMemory(), Start: stream.FromNow}
			s := w.open(stream.Types(org, typ), o)
			if got := until(t, s, caughtUp); !slices.Equal(got, []string{"caught up"}) {
				t.Fatalf("delivered %q", got)
			}
			heard := func(want ...string) {
				t.Helper()
				got := until(t, s, func(c stream.Change) bool { return describe(c) == want[len(want)-1] })
				if !slices.Equal(got, want) {
					t.Fatalf("heard %q, want %q", got, want)
				}
			}
			w.write(keyOf(2), "new")
			heard("2: 0.4 new")
			w.write(keyOf(7), "created")
			heard("7: 0.1 created")
			w.write(keyOf(4), "recreated")
			heard("4: 0.1 recreated")
			w.write(keyOf(3), "on")
			heard("3: 0.6 on")
			w.write(keyOf(6), "on")
			heard("6: 0.3 on")
			closeNow(t, s)
			w.write(keyOf(0), "meanwhile")
			w.write(keyOf(8), "created meanwhile")
			w.write(keyOf(5), "meanwhile")
			got := until(t, w.open(stream.Types(org, typ), o), caughtUp)
			slices.Sort(got)
			if want := []string{"0: 0.2 meanwhile", "5: 0.7 meanwhile", "8: 0.1 created meanwhile", "caught up"}; !slices.Equal(got, want) {
				t.Errorf("resumed with %q, want %q", got, want)
			}
		})
	}
}

// While the start is being made, writers go on: whatever is delivered of an
// aggregate ascends without a gap to its head, and what is written after
// CaughtUp is delivered.
//
//covers:lists
func TestFromNowUnderWrites(t *testing.T) {
	w := newWorld(t, celerianttest.Options{Shards: 3, Quirks: true}, pool.Options{})
	const keys = 40
	for k := range keys / 2 {
		for range 5 {
			w.write(keyOf(k), "old")
		}
	}
	started, stop := make(chan struct{}), make(chan struct{})
	var writer sync.WaitGroup
	head := make([]uint64, keys)
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				head[n%keys] = w.write(keyOf(n%keys), "new")
			}
			if n == keys {
				close(started)
			}
		}
	})
	<-started
	s := w.open(stream.Types(org, typ), stream.Options{Start: stream.FromNow})
	last := make(map[int]uint64)
	take := func(done func(stream.Change) bool) {
		until(t, s, func(c stream.Change) bool {
			if c.Kind != stream.Batch {
				return done(c)
			}
			_, n := c.Key.Aggregate.Uint64s()
			if previous := last[int(n)]; previous > 0 && c.Batch.Version != previous+1 {
				t.Errorf("version %d of %d follows %d", c.Batch.Version, n, previous)
			}
			if n < keys/2 && c.Batch.Version <= 5 {
				t.Errorf("version %d of %d is older than the start", c.Batch.Version, n)
			}
			last[int(n)] = c.Batch.Version
			return done(c)
		})
	}
	take(caughtUp)
	time.Sleep(20 * time.Millisecond)
	close(stop)
	writer.Wait()
	for k := range keys {
		head[k] = w.write(keyOf(k), "last")
	}
	take(func(stream.Change) bool {
		for k := range keys {
			if last[k] != head[k] {
				return false
			}
		}
		return true
	})
}

// A run that ends before its CaughtUp leaves the start to the next one.
func TestFromNowIsMadeOnce(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	w.write(keyOf(1), "old")
	o := stream.Options{Name: "now", Store: checkpoint.NewMemory(), Start: stream.FromNow}
	w.cut.down.Store(true)
	s := w.open(stream.Types(org, typ), o)
	closeNow(t, s)
	w.cut.down.Store(false)
	w.write(keyOf(1), "old")
	s = w.open(stream.Types(org, typ), o)
	if got := until(t, s, caughtUp); len(got) != 1 {
		t.Fatalf("delivered %q", got)
	}
	closeNow(t, s)
	o.Start = stream.FromBeginning // the cursors count, not the option
	w.write(keyOf(1), "new")
	if got := until(t, w.open(stream.Types(org, typ), o), caughtUp); !slices.Equal(got, []string{"1: 0.3 new", "caught up"}) {
		t.Fatalf("resumed with %q", got)
	}
}
