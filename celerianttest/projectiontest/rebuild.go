package projectiontest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
)

// OpenVersions makes an empty instance of two versions of a read model, which have one
// store.
type OpenVersions func() (old, fresh Instance, err error)

// CheckRebuild rebuilds a read model beside its old version, in the middle of histories
// that event makes, cuts over to the new version, and rolls back to the old one. Each
// version must show then what it shows when it alone has handled the whole history. A
// version that passes over replays although it builds something, or writes to the tables
// of the other one, fails with the shortest history that shows it.
//
// A cut-over takes some seconds, and next to nothing within testing/synctest. Histories
// is 3 by default. ExactlyOnce means nothing here, and nothing is trimmed.
func CheckRebuild(t TB, open OpenVersions, event func(rng *rand.Rand, aggregate int) msg.Event, o Options) {
	t.Helper()
	if o.Histories <= 0 {
		o.Histories = 3
	}
	o = o.withDefaults()
	o.NoTrims = true
	for n := range o.Histories {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(n)))
		h := replacement{steps: generate(rng, o, event)}
		h.cutOver = rng.IntN(len(h.steps) + 1)
		h.begin = rng.IntN(h.cutOver + 1)
		if err := h.try(t.Context(), open); err != nil {
			h, err = h.shorten(t.Context(), open, err)
			t.Fatalf("seed %d: %v\n%v", o.Seed, h, err)
			return
		}
	}
}

// replacement is a history in which one version takes another's place.
type replacement struct {
	steps []Step
	// begin is how many steps have happened when the rebuild begins, cutOver when the
	// old version ends.
	begin, cutOver int
}

// String lists what happens.
func (h replacement) String() string {
	return fmt.Sprintf("rebuild begins after %d steps, cut-over after %d, of\n%v", h.begin, h.cutOver, history{steps: h.steps})
}

// shorten leaves out steps while the history still fails.
func (h replacement) shorten(ctx context.Context, open OpenVersions, failed error) (replacement, error) {
	for again := true; again; {
		again = false
		for at := range h.steps {
			less := h.without(at)
			if err := less.try(ctx, open); err != nil {
				h, failed, again = less, err, true
				break
			}
		}
	}
	return h, failed
}

func (h replacement) without(at int) replacement {
	h.steps = slices.Delete(slices.Clone(h.steps), at, at+1)
	for _, moment := range []*int{&h.begin, &h.cutOver} {
		if *moment > at {
			*moment--
		}
	}
	return h
}

// try plays the history and compares both versions with such that began at its end.
func (h replacement) try(ctx context.Context, open OpenVersions) error {
	w, err := newWorld()
	if err != nil {
		return err
	}
	defer w.close()
	old, fresh, err := open()
	if err != nil {
		return err
	}
	defer old.close()
	defer fresh.close()
	store, ok := old.Store.(checkpoint.RecordStore)
	if !ok || old.Store != fresh.Store {
		return fmt.Errorf("projectiontest: both versions must have one store that keeps records, not a %T and a %T", old.Store, fresh.Store)
	}
	if err := w.replace(ctx, store, old, fresh, h); err != nil {
		return err
	}
	if err := w.same(ctx, open, "the new version", fresh, func(_, fresh Instance) Instance { return fresh }); err != nil {
		return err
	}
	if err := w.back(ctx, store, old); err != nil {
		return fmt.Errorf("rolling back: %w", err)
	}
	return w.same(ctx, open, "the old version, rolled back to,", old, func(old, _ Instance) Instance { return old })
}

// replace plays the steps.
func (w *world) replace(ctx context.Context, store checkpoint.RecordStore, old, fresh Instance, h replacement) error {
	if err := w.handle(ctx, old, h.steps[:h.begin]); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("projectiontest: not current after %v", limit))
	defer cancel()
	err := w.takesOver(ctx, fresh, w.version(store, second, subscription), func() error {
		return w.handle(ctx, old, h.steps[h.begin:h.cutOver])
	})
	if err != nil {
		return err
	}
	for _, s := range h.steps[h.cutOver:] {
		if err := w.do(ctx, s); err != nil {
			return fmt.Errorf("projectiontest: %v: %w", s, err)
		}
	}
	consumer, ended := fresh.begin(ctx, w.version(store, second, subscription))
	return consumer.finish(ctx, ended)
}

// takesOver runs a version beside the other one until it has taken its place and handled
// everything. Meanwhile happens before the cut-over.
func (w *world) takesOver(ctx context.Context, i Instance, s *source, meanwhile func() error) error {
	consumer, ended := i.begin(ctx, s)
	select {
	case <-consumer.ready:
	case err := <-ended:
		return fmt.Errorf("projectiontest: the consumer ended: %w", err)
	}
	err := meanwhile()
	if err == nil {
		_, err = rebuild.CutOver(ctx, s.store.(checkpoint.RecordStore), s.name, "projectiontest")
	}
	if err != nil {
		consumer.cancel(errDone)
		<-ended
		return err
	}
	return consumer.finish(ctx, ended)
}

// handle makes steps happen, each handled by the old version.
func (w *world) handle(ctx context.Context, old Instance, steps []Step) error {
	if err := w.run(ctx, old, false, false); err != nil {
		return err
	}
	for _, s := range steps {
		if err := w.do(ctx, s); err != nil {
			return fmt.Errorf("projectiontest: %v: %w", s, err)
		}
		if err := w.run(ctx, old, false, false); err != nil {
			return err
		}
	}
	return nil
}

// back rolls back to the old version.
func (w *world) back(ctx context.Context, store checkpoint.RecordStore, old Instance) error {
	if _, err := rebuild.Rollback(ctx, store, second, "projectiontest"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("projectiontest: not current after %v", limit))
	defer cancel()
	return w.takesOver(ctx, old, w.version(store, subscription, ""), func() error { return nil })
}

// same compares what a version shows with what it shows when it handles all at once.
func (w *world) same(ctx context.Context, open OpenVersions, what string, i Instance, which func(old, fresh Instance) Instance) error {
	got, err := i.rows(ctx)
	if err != nil {
		return err
	}
	a, b, err := open()
	if err != nil {
		return err
	}
	defer a.close()
	defer b.close()
	alone := which(a, b)
	if err := w.run(ctx, alone, false, false); err != nil {
		return err
	}
	want, err := alone.rows(ctx)
	if err == nil && !slices.Equal(got, want) {
		err = differs(what, got, "one that began at the end, alone,", want)
	}
	return err
}

// version is the source of one version.
func (w *world) version(store checkpoint.Store, name, of string) *source {
	s := w.source(store, false)
	s.name, s.of = name, of
	return s
}
