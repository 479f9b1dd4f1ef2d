package checkpointtest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var concurrencyRules = []Rule{
	{Name: "owners fight, the last one stays", Check: ownersFight},
	{Name: "savers race, no cursor goes back", Check: saversRace},
	{Name: "everything at once", Check: allAtOnce},
}

// together runs do n times at once and reports the first error.
func (b bench) together(n int, do func(i int) error) {
	b.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatalf("%v", err)
		}
	}
}

// ownersFight gives every owner a key of its own. Once an owner was acquired,
// the keys of those before it must stand still.
func ownersFight(t testing.TB, f Fixture) {
	b := start(t, f)
	const workers, rounds, saves = 4, 15, 4
	var saved, refused atomic.Int64
	b.together(workers, func(int) error {
		mine := checkpoint.Owner{Name: name}
		for range rounds {
			owner, err := b.store.Acquire(b.ctx, checkpoint.Claim{Name: name, Scope: scope})
			if err != nil {
				return err
			}
			if err := b.store.Save(b.ctx, mine, nil); mine.Epoch > 0 && !errors.Is(err, checkpoint.ErrFenced) {
				return fmt.Errorf("owner %d saves although %d has taken over: %v", mine.Epoch, owner.Epoch, err)
			}
			mine = owner
			forerunners := make([]msg.Key, 0, workers)
			for i := range min(owner.Epoch, workers) {
				forerunners = append(forerunners, key(int(owner.Epoch-i-1)))
			}
			before, err := b.store.Load(b.ctx, name, forerunners)
			if err != nil {
				return err
			}
			for i := range uint64(saves) {
				err := b.store.Save(b.ctx, owner, []checkpoint.Entry{at(int(owner.Epoch), i+1)})
				switch {
				case errors.Is(err, checkpoint.ErrFenced):
					refused.Add(1)
				case err != nil:
					return err
				default:
					saved.Add(1)
				}
				runtime.Gosched()
			}
			after, err := b.store.Load(b.ctx, name, forerunners)
			if err != nil {
				return err
			}
			if !slices.Equal(before, after) {
				return fmt.Errorf("after owner %d had taken over, its forerunners moved from %v to %v", owner.Epoch, before, after)
			}
		}
		return nil
	})
	if saved.Load() == 0 || saved.Load()+refused.Load() != workers*rounds*saves {
		t.Fatalf("no fight took place: %d saves, %d refused", saved.Load(), refused.Load())
	}
}

// saversRace lets savers of one owner offer two versions of each key at once,
// round by round. In any order the higher one stays, what is below what stood
// before the round is refused, and no reader sees a cursor go back.
func saversRace(t testing.TB, f Fixture) {
	b := start(t, f)
	r := race{bench: b, owner: b.acquire(name)}
	const rounds = 20
	for round := range uint64(rounds) {
		low := 2 + 5*round + round%3
		high := low + 1 + round%2
		b.together(2*racers+1, func(i int) error {
			switch {
			case i == 2*racers:
				return r.look()
			case uint64(i/racers)%2 == round%2: // the lower one first, and next time last
				return r.offer(i%racers, low, high)
			}
			return r.offer(i%racers, high, high)
		})
		r.stands = high
		b.holds(name, many(0, racers, high)...)
	}
}

// racers is the number of keys that savers race for.
const racers = 3

type race struct {
	bench
	owner  checkpoint.Owner
	stands uint64 // of all keys, before this round
	seen   [racers]uint64
}

// offer saves what is known to be lower than what stands, and then a version of
// this round, which only the highest of the round may keep out.
func (r *race) offer(k int, version, highest uint64) error {
	if r.stands > 0 {
		err := r.store.Save(r.ctx, r.owner, []checkpoint.Entry{at(k, r.stands-1)})
		if _, refused := errors.AsType[*checkpoint.RegressionError](err); !refused {
			return fmt.Errorf("key %d, version %d after version %d: %v, want a *RegressionError", k, r.stands-1, r.stands, err)
		}
	}
	err := r.store.Save(r.ctx, r.owner, []checkpoint.Entry{at(k, version)})
	if late, refused := errors.AsType[*checkpoint.RegressionError](err); refused && version < highest && late.Stored == cursor(0, highest) {
		return nil
	}
	return err
}

// look loads all keys a few times.
func (r *race) look() error {
	ids := make([]msg.Key, racers)
	for k := range ids {
		ids[k] = key(k)
	}
	for range 3 {
		got, err := r.store.Load(r.ctx, name, ids)
		if err != nil {
			return err
		}
		for k, c := range got {
			if c.Version < r.seen[k] {
				return fmt.Errorf("key %d went back from version %d to %d", k, r.seen[k], c.Version)
			}
			r.seen[k] = c.Version
		}
	}
	return nil
}

// allAtOnce is for the race detector, and for locks that wait for each other:
// every call on every subscription, none of which may feel the others.
func allAtOnce(t testing.TB, f Fixture) {
	b := start(t, f)
	const workers, rounds, each = 4, 10, 50
	subscription := func(i int) string { return fmt.Sprintf("worker %d", i) }
	b.together(workers, func(i int) error {
		for round := range uint64(rounds) {
			if err := b.turn(subscription(i), many(i*2*each, each, round+1)); err != nil {
				return fmt.Errorf("%s, round %d: %w", subscription(i), round, err)
			}
			scratch := subscription(i) + " scratch"
			if err := b.turn(scratch, many(i*2*each, each/2, 1)); err != nil {
				return fmt.Errorf("%s, round %d: %w", scratch, round, err)
			}
			if err := b.store.Delete(b.ctx, scratch); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range workers {
		if got := b.scan(subscription(i)); len(got) != each {
			t.Fatalf("%s holds %d cursors, want %d", subscription(i), len(got), each)
		}
		b.holds(subscription(i), many(i*2*each, each, rounds)...)
	}
}

// turn acquires a subscription, saves, and looks whether that is what is there.
func (b bench) turn(name string, entries []checkpoint.Entry) error {
	owner, err := b.store.Acquire(b.ctx, checkpoint.Claim{Name: name, Scope: scope})
	if err != nil {
		return err
	}
	if err := b.store.Save(b.ctx, owner, entries); err != nil {
		return err
	}
	seen := 0
	for e, err := range b.store.Scan(b.ctx, name) {
		if err != nil {
			return err
		}
		if e.Cursor != entries[0].Cursor {
			return fmt.Errorf("holds %v after saving %v", e.Cursor, entries[0].Cursor)
		}
		seen++
	}
	if seen != len(entries) {
		return fmt.Errorf("holds %d cursors after saving %d", seen, len(entries))
	}
	return nil
}
