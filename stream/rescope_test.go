package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

func another(n int) msg.Key {
	return msg.Key{Org: org, Type: msg.IDFromUint64(3), Aggregate: msg.IDFromUint64(uint64(n))}
}

// Added members are delivered from their start, removed ones not any more, and those that
// stay go on, whatever the kinds of members.
func TestScopesLive(t *testing.T) {
	w := newWorld(t, celerianttest.Options{Shards: 2}, pool.Options{})
	for k := range 4 {
		w.write(keyOf(k), "a")
		w.write(another(10+k), "a")
	}
	store := checkpoint.NewMemory()
	o := stream.Options{Name: "living", Store: store}
	s := w.open(stream.Aggregates(keyOf(0)), o)
	heard := func(want ...string) {
		t.Helper()
		got := until(t, s, func(c stream.Change) bool { return describe(c) == want[len(want)-1] })
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	add := func(scope stream.Scope) {
		t.Helper()
		if err := s.Add(t.Context(), scope); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(scope stream.Scope) {
		t.Helper()
		if err := s.Remove(t.Context(), scope); err != nil {
			t.Fatal(err)
		}
	}
	heard("0: 0.1 a", "caught up")

	add(stream.Aggregates(keyOf(1)))
	heard("1: 0.1 a", "caught up")
	w.write(keyOf(0), "b")
	heard("0: 0.2 b")
	w.write(keyOf(1), "b")
	heard("1: 0.2 b")

	add(stream.Types(org, another(0).Type))
	heard("10: 0.1 a", "11: 0.1 a", "12: 0.1 a", "13: 0.1 a", "caught up")
	w.write(another(10), "b")
	heard("10: 0.2 b")

	remove(stream.Aggregates(keyOf(1)))
	w.write(keyOf(1), "unheard")
	heard("caught up")
	w.write(keyOf(0), "c")
	heard("0: 0.3 c")

	add(stream.Types(org, another(0).Type)) // followed already: nothing happens
	w.write(another(11), "b")
	heard("11: 0.2 b")

	// Resumes at its cursor.
	add(stream.Aggregates(keyOf(1)))
	heard("1: 0.3 unheard", "caught up")

	if err := s.Remove(t.Context(), stream.Aggregates(keyOf(2))); err == nil {
		t.Error("what is no member was removed")
	}
	if err := s.Remove(t.Context(), stream.Orgs(org)); err == nil {
		t.Error("an organisation that is no member was removed")
	}
	if err := s.Add(t.Context(), stream.Scope{}); err == nil {
		t.Error("nothing was added")
	}

	remove(stream.Union(stream.Aggregates(keyOf(0), keyOf(1)), stream.Types(org, another(0).Type)))
	heard("caught up")
	if !s.Scope().Empty() || s.State().Phase != stream.Live {
		t.Errorf("%v, %v after the last member has gone", s.Scope(), s.State())
	}
	w.write(keyOf(0), "d")
	add(stream.Aggregates(keyOf(0)))
	heard("0: 0.4 d", "caught up")

	closeNow(t, s)
	if err := s.Add(t.Context(), stream.Aggregates(keyOf(3))); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("adding to a closed subscription: %v", err)
	}
}

// Members come and go while all of them are written to and connections are cut:
// those that stay all the time miss nothing, those that come get everything.
//
//covers:g2
func TestScopesLiveUnderStorm(t *testing.T) {
	w := newWorld(t, celerianttest.Options{Shards: 2, Quirks: true}, pool.Options{})
	const keys = 12
	s := w.open(stream.Aggregates(keyOf(0), keyOf(1)), stream.Options{Store: checkpoint.NewMemory()})
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var mu sync.Mutex
	last, head := make(map[uint64]uint64), make(map[uint64]uint64)
	work.Go(func() { // takes
		for {
			changes, err := s.Next(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			for _, c := range changes {
				if _, n := c.Key.Aggregate.Uint64s(); c.Kind == stream.Batch {
					if c.Batch.Version != last[n]+1 {
						t.Errorf("version %d of %d follows %d", c.Batch.Version, n, last[n])
					}
					last[n] = c.Batch.Version
				}
			}
			mu.Unlock()
			if s.Commit(ctx, stream.Entries(changes)) != nil {
				return
			}
		}
	})
	for round := range 60 {
		for n := range keys {
			head[uint64(n)] = w.write(keyOf(n), fmt.Sprint(round))
		}
		member := stream.Aggregates(keyOf(2 + round%(keys-2)))
		if err := s.Add(ctx, member); err != nil {
			t.Fatal(err)
		}
		if round%3 == 1 {
			w.cut.cutSome(rand.New(rand.NewPCG(uint64(round), 1)), 0.3)
		}
		if round%5 == 4 {
			// Only what is delivered and committed may go, or its tail comes twice.
			for deadline := time.Now().Add(15 * time.Second); s.State().Phase != stream.Live || s.Stats().Dirty > 0; {
				if time.Now().After(deadline) {
					t.Fatalf("not live: %v", s.State())
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	for n := range keys {
		if err := s.Add(ctx, stream.Aggregates(keyOf(n))); err != nil {
			t.Fatal(err)
		}
		head[uint64(n)] = w.write(keyOf(n), "end")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		done := true
		for n, v := range head {
			done = done && last[n] == v
		}
		mu.Unlock()
		if done {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("delivered %v of %v", last, head)
		}
	}
	cancel()
	work.Wait()
}

// Waiting changes of a removed member are not delivered any more.
func TestRemovedIsNotDelivered(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	w.write(keyOf(1), "a")
	w.write(keyOf(2), "a")
	s := w.open(stream.Aggregates(keyOf(1), keyOf(2)), stream.Options{})
	for deadline := time.Now().Add(10 * time.Second); s.State().Phase != stream.Live; {
		if time.Now().After(deadline) {
			t.Fatal("not live")
		}
		time.Sleep(time.Millisecond)
	}
	if err := s.Remove(t.Context(), stream.Aggregates(keyOf(1))); err != nil {
		t.Fatal(err)
	}
	var heard []string
	for ups := 0; ups < 2; {
		for _, d := range until(t, s, caughtUp) {
			if d == "caught up" {
				ups++
			}
			heard = append(heard, d)
		}
	}
	if want := []string{"2: 0.1 a", "caught up", "caught up"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

// Not even within the slice that a loop is at.
func TestRemovedInALoop(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	for range 5 {
		w.write(keyOf(1), "a")
	}
	s := w.open(stream.Aggregates(keyOf(1), keyOf(2)), stream.Options{})
	var heard []string
	for c, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, describe(c))
		if len(heard) == 2 {
			if err := s.Remove(t.Context(), stream.Aggregates(keyOf(1))); err != nil {
				t.Fatal(err)
			}
			w.write(keyOf(2), "b")
		}
		if c.Key == keyOf(2) {
			break
		}
	}
	heard = slices.DeleteFunc(heard, func(s string) bool { return s == "caught up" })
	if want := []string{"1: 0.1 a", "1: 0.2 a", "2: 0.1 b"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

// The hash is part of the format: what processes divide must not move with a release.
func TestHashStays(t *testing.T) {
	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	if h := stream.HashOf(key); h != 0x5ab139d00595db76 {
		t.Errorf("%#x", h)
	}
	var last uint64
	for i := range 7 {
		r := stream.HashShare(i, 7)
		if i > 0 && r.First != last+1 {
			t.Errorf("share %d begins at %#x behind %#x", i, r.First, last)
		}
		last = r.Last
	}
	if last != 1<<64-1 || !stream.HashShare(0, 1).Whole() {
		t.Errorf("the last share ends at %#x", last)
	}
}

// Several subscriptions divide a scope by hash ranges: each aggregate comes to
// exactly one of them, and to both of two that overlap.
func TestHashRangesDivideAScope(t *testing.T) {
	w := newWorld(t, celerianttest.Options{Shards: 2}, pool.Options{})
	const keys, parts = 200, 3
	for k := range keys {
		w.write(keyOf(k), "a")
	}
	store := checkpoint.NewMemory()
	seen := make(map[string]int)
	for i := range parts {
		share := stream.HashShare(i, parts)
		s := w.open(stream.Types(org, typ), stream.Options{Store: store, Range: share})
		got := until(t, s, caughtUp)
		if len(got) < keys/parts/2 {
			t.Errorf("share %d holds %d of %d aggregates", i, len(got), keys)
		}
		for _, d := range got[:len(got)-1] {
			seen[d]++
		}
	}
	if len(seen) != keys {
		t.Errorf("%d of %d aggregates came", len(seen), keys)
	}
	for d, n := range seen {
		if n != 1 {
			t.Errorf("%q came %d times", d, n)
		}
	}
	var singles []msg.Key
	for k := range 30 {
		singles = append(singles, keyOf(k))
	}
	alone := 0
	for i := range parts {
		s := w.open(stream.Aggregates(singles...), stream.Options{Range: stream.HashShare(i, parts)})
		alone += len(until(t, s, caughtUp)) - 1
	}
	if alone != len(singles) {
		t.Errorf("%d deliveries of %d single aggregates", alone, len(singles))
	}
	both := 0
	for _, r := range []stream.HashRange{{Last: 1 << 63}, {First: 1 << 62, Last: 1<<64 - 1}} {
		s := w.open(stream.Types(org, typ), stream.Options{Store: store, Range: r})
		both += len(until(t, s, caughtUp)) - 1
	}
	if both <= keys {
		t.Errorf("%d deliveries by ranges that overlap", both)
	}
	if _, err := stream.Open(t.Context(), w.source(), stream.Everything(), stream.Options{Range: stream.HashRange{First: 2, Last: 1}}); err == nil {
		t.Error("a range that ends before it begins was accepted")
	}
}

// waits waits until so many changes wait for the consumer.
func waits(t *testing.T, s *stream.Subscription, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.Stats().Waiting < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d changes wait", s.Stats().Waiting)
		}
	}
}

// Changes that waited when a member left are not delivered when it has joined again: it
// comes again, from the cursor, in order.
func TestLeftAndJoinedAgainWhileChangesWait(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	s := w.open(stream.Aggregates(keyOf(1), keyOf(2)), stream.Options{})
	until(t, s, caughtUp)
	for i, write := range []struct {
		n    int
		text string
	}{{1, "a"}, {2, "a"}, {1, "b"}} {
		w.write(keyOf(write.n), write.text)
		waits(t, s, i+1)
	}
	if err := s.Remove(t.Context(), stream.Aggregates(keyOf(1))); err != nil {
		t.Fatal(err)
	}
	changes, err := s.Next(t.Context())
	if err != nil || len(changes) != 1 || describe(changes[0]) != "2: 0.1 a" {
		t.Fatalf("%v, %v", changes, err)
	}
	if err := s.Add(t.Context(), stream.Aggregates(keyOf(1))); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range until(t, s, func(c stream.Change) bool { return describe(c) == "1: 0.2 b" }) {
		if d != "caught up" {
			got = append(got, d)
		}
	}
	if want := []string{"1: 0.1 a", "1: 0.2 b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The same for the slice that the loop is in the middle of. Changes of it that were
// handled before are stored after the member was added again, and the subscription goes on.
func TestLeftAndJoinedAgainInTheLoop(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	for _, text := range []string{"a", "b", "c"} {
		w.write(keyOf(1), text)
	}
	s := w.open(stream.Aggregates(keyOf(1), keyOf(2)), stream.Options{})
	waits(t, s, 4) // and caught up
	var got []string
	for c, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind == stream.CaughtUp {
			continue
		}
		got = append(got, describe(c))
		if len(got) == 1 {
			if err := s.Remove(t.Context(), stream.Aggregates(keyOf(1))); err != nil {
				t.Fatal(err)
			}
			if err := s.Add(t.Context(), stream.Aggregates(keyOf(1))); err != nil {
				t.Fatal(err)
			}
			waits(t, s, 5) // all of it again: nothing was stored when it joined
		}
		if len(got) == 4 {
			w.write(keyOf(1), "d")
		}
		if len(got) == 5 {
			break
		}
	}
	if want := []string{"1: 0.1 a", "1: 0.1 a", "1: 0.2 b", "1: 0.3 c", "1: 0.4 d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Cursors handled before a member left may be stored after it has joined again at
// an older cursor. A member that repeats older changes then is no error.
func TestStoredAfterJoiningAgain(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	w.write(keyOf(1), "a")
	w.write(keyOf(1), "b")
	s := w.open(stream.Aggregates(keyOf(1), keyOf(2)), stream.Options{})
	var before []stream.Change
	for len(before) < 2 {
		changes, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, changes...)
	}
	for _, change := range []func(context.Context, stream.Scope) error{s.Remove, s.Add} {
		if err := change(t.Context(), stream.Aggregates(keyOf(1))); err != nil {
			t.Fatal(err)
		}
	}
	waits(t, s, 3) // both again, and caught up
	if err := s.Commit(t.Context(), stream.Entries(before)); err != nil {
		t.Fatal(err)
	}
	until(t, s, func(c stream.Change) bool {
		if err := s.Commit(t.Context(), stream.Entries([]stream.Change{c})); err != nil {
			t.Fatalf("storing %v: %v", &c, err)
		}
		return describe(c) == "1: 0.2 b"
	})
}

// Changes that a loop took and did not handle leave the scope with their member.
func TestLeftBehindByTheLoop(t *testing.T) {
	w := newWorld(t, celerianttest.Options{}, pool.Options{})
	w.write(keyOf(1), "a")
	w.write(keyOf(1), "b")
	s := w.open(stream.Aggregates(keyOf(1), keyOf(2)), stream.Options{})
	for c, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind == stream.Batch {
			if err := s.Remove(t.Context(), stream.Aggregates(keyOf(1))); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	w.write(keyOf(2), "a")
	for _, d := range until(t, s, func(c stream.Change) bool { return describe(c) == "2: 0.1 a" }) {
		if d != "caught up" && d != "2: 0.1 a" {
			t.Errorf("delivered of a member that has left: %s", d)
		}
	}
}
