package simulation_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var errStore = errors.New("the store is away")

// flaky is a checkpoint store that fails before and after it saved, is slow, and
// goes away for a while.
type flaky struct {
	checkpoint.Store
	sim    *sim
	who    string
	chance *rand.Rand

	saved func([]checkpoint.Entry)

	mu   sync.Mutex
	back time.Time // it is away until then
}

func (f *flaky) leave(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.back = time.Now().Add(d)
	f.sim.log.add(f.who+"'s store", "is away for %v", d)
}

// call lets a call take its time and says whether it fails, before or after it
// has had its effect.
func (f *flaky) call(ctx context.Context, what ...any) (before, after bool, err error) {
	if err := f.sim.when.doze(ctx, time.Microsecond, 200*time.Microsecond, append(what, f.who)...); err != nil {
		return false, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.back) {
		return true, false, nil
	}
	if !f.sim.calm.Load() {
		switch n := f.chance.IntN(100); {
		case n < 3:
			before = true
		case n < 6:
			after = true
		}
	}
	if before || after {
		f.sim.log.add(f.who+"'s store", "fails: before %v after %v", before, after)
		f.sim.count("calls of stores that failed")
	}
	return before, after, nil
}

func (f *flaky) Acquire(ctx context.Context, claim checkpoint.Claim) (checkpoint.Owner, error) {
	before, after, err := f.call(ctx, "acquire")
	if before || err != nil {
		return checkpoint.Owner{}, errors.Join(err, errStore)
	}
	owner, err := f.Store.Acquire(ctx, claim)
	if after {
		return checkpoint.Owner{}, errStore
	}
	return owner, err
}

func (f *flaky) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	before, after, err := f.call(ctx, "load", keys)
	if before || after || err != nil {
		return nil, errors.Join(err, errStore)
	}
	return f.Store.Load(ctx, name, keys)
}

func (f *flaky) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	before, after, err := f.call(ctx, "save", len(entries), owner.Epoch)
	if before || err != nil {
		return errors.Join(err, errStore)
	}
	if err := f.Store.Save(ctx, owner, entries); err != nil {
		f.sim.log.add(f.who+"'s store", "save: %v", err)
		return err
	}
	f.saved(entries)
	if after {
		return errStore
	}
	return nil
}

// Close is the owner's, who keeps the store for the next process.
func (f *flaky) Close() error { return nil }
