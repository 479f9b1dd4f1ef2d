package celeriant_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
)

// The change whose body breaks comes again, what came before it does not.
func TestAllResumesBehindABreak(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a", "b", "c")
		var seen []string
		for range 2 {
			for c, err := range w.orders().All(w.t.Context()) {
				if err != nil {
					w.t.Fatal(err)
				}
				seen = append(seen, describe(&c))
				if c.Batch.Version == 2 || c.Kind == celeriant.CaughtUp {
					break
				}
			}
		}
		if want := []string{"1.1 a", "1.2 b", "1.2 b"}; !slices.Equal(seen, want) {
			w.t.Errorf("got %q, want %q", seen, want)
		}
		if w.stored(1) != 1 {
			w.t.Errorf("stored %d", w.stored(1))
		}
	})
}

func TestAllEndsWithItsContext(t *testing.T) {
	bubble(t, func(w *world) {
		ctx, cancel := context.WithCancelCause(w.t.Context())
		defer cancel(nil)
		var last error
		for c, err := range w.orders().All(ctx) {
			last = err
			if c.Kind == celeriant.CaughtUp {
				cancel(errStop)
			}
		}
		if !errors.Is(last, errStop) {
			w.t.Error(last)
		}
	})
}

func TestAllAndRunTellWhyTheyCannotBegin(t *testing.T) {
	bubble(t, func(w *world) {
		w.close()
		for _, err := range w.orders().All(w.t.Context()) {
			if !errors.Is(err, celeriant.ErrClosed) {
				w.t.Error(err)
			}
		}
		if err := w.orders().Run(w.t.Context(), nil); !errors.Is(err, celeriant.ErrClosed) {
			w.t.Error(err)
		}
	})
}

func TestRunStoresBehindItsHandler(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a", "b", "c")
		err := w.orders().Run(w.t.Context(), func(_ context.Context, c celeriant.Change) error {
			if w.stored(1) >= c.Batch.Version {
				w.t.Errorf("%v was stored before it was handled", &c)
			}
			if c.Batch.Version == 3 {
				return errStop
			}
			return nil
		})
		if !errors.Is(err, errStop) || w.stored(1) != 2 {
			w.t.Errorf("%v, stored %d", err, w.stored(1))
		}
	})
}

// Without a store every consumption starts from the beginning, side by side.
func TestConsumersAreIndependent(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a")
		o := w.client.Watch(celeriant.Everything())
		for range 2 {
			for c, err := range o.All(w.t.Context()) {
				if err != nil || describe(&c) != "1.1 a" {
					w.t.Errorf("got %v, %v", describe(&c), err)
				}
				for c, err := range o.All(w.t.Context()) {
					if err != nil || describe(&c) != "1.1 a" {
						w.t.Errorf("inside got %v, %v", describe(&c), err)
					}
					break
				}
				break
			}
		}
	})
}

// Of two consumers with one name the later one goes on.
func TestTheLaterConsumerGoesOn(t *testing.T) {
	bubble(t, func(w *world) {
		w.write(1, "a")
		err := w.orders().Run(w.t.Context(), func(context.Context, celeriant.Change) error {
			w.takeOver()
			return nil
		})
		if !errors.Is(err, checkpoint.ErrFenced) || w.stored(1) != 0 {
			w.t.Errorf("%v, stored %d", err, w.stored(1))
		}
	})
}
