package operators_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

var errStop = errors.New("stop")

// The handler comes first, then the cursor.
//
//covers:g11
func TestForEachStoresBehindTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newRecorder())
		w.write(1, "a")
		w.write(1, "b")
		ctx, cancel := context.WithCancelCause(t.Context())
		var seen []string
		err := operators.ForEach(ctx, w, func(_ context.Context, c stream.Change) error {
			seen = append(seen, describe(c))
			if c.Kind == stream.Batch && w.version(1) >= c.Batch.Version {
				t.Errorf("%v was stored before it was handled", &c)
			}
			if c.Kind == stream.CaughtUp {
				cancel(errStop)
			}
			return nil
		})
		if !errors.Is(err, errStop) || !slices.Equal(seen, []string{"1.1", "1.2", "caught up"}) || w.version(1) != 2 {
			t.Errorf("got %v, %v, stored %d", err, seen, w.version(1))
		}
	})
}

func TestForEachResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		var seen []string
		for _, text := range []string{"a", "b", "c"} {
			w.write(1, text)
			ctx, cancel := context.WithCancelCause(t.Context())
			_ = operators.ForEach(ctx, w, func(_ context.Context, c stream.Change) error {
				if c.Kind == stream.CaughtUp {
					cancel(errStop)
					return nil
				}
				seen = append(seen, describe(c))
				return nil
			})
		}
		if !slices.Equal(seen, []string{"1.1", "1.2", "1.3"}) {
			t.Errorf("got %v", seen)
		}
	})
}

// Changes handled before the failure are stored, the failed one is not.
func TestForEachEndsWithTheHandlersError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		for i := range 5 {
			w.write(1, fmt.Sprint(i))
		}
		poison := errors.New("poison")
		err := operators.ForEach(t.Context(), w, func(_ context.Context, c stream.Change) error {
			if c.Batch.Version == 4 {
				return poison
			}
			return nil
		}, atOnce)
		var failed *operators.HandlerError
		if !errors.Is(err, poison) || !errors.As(err, &failed) || failed.Key != keyOf(1) || failed.Version != 4 {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(err.Error(), keyOf(1).String()) || !strings.Contains(err.Error(), "batch 4") {
			t.Errorf("%q names neither key nor version", err)
		}
		if w.version(1) != 3 {
			t.Errorf("stored %d", w.version(1))
		}
	})
}

func explode() { panic("boom") }

//covers:handler
func TestForEachMakesPanicsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		w.write(1, "b")
		err := operators.ForEach(t.Context(), w, func(_ context.Context, c stream.Change) error {
			if c.Batch.Version == 2 {
				explode()
			}
			return nil
		}, atOnce)
		var panicked *operators.PanicError
		if !errors.As(err, &panicked) || panicked.Value != "boom" || !strings.Contains(string(panicked.Stack), "explode") {
			t.Errorf("got %v", err)
		}
		if w.version(1) != 1 {
			t.Errorf("stored %d", w.version(1))
		}
	})
}

// A stop lets the handler in flight finish with a living context, begins
// nothing new, and stores what was handled.
func TestForEachStopsInTwoPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		for i := range 3 {
			w.write(1, fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var seen []string
		err := operators.ForEach(ctx, w, func(ctx context.Context, c stream.Change) error {
			seen = append(seen, describe(c))
			if c.Batch.Version == 2 {
				cancel(errStop)
				select {
				case <-time.After(9 * time.Second):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
		if !errors.Is(err, errStop) || !slices.Equal(seen, []string{"1.1", "1.2"}) || w.version(1) != 2 {
			t.Errorf("got %v, %v, stored %d", err, seen, w.version(1))
		}
	})
}

func TestForEachBeginsNothingAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		for i := range 3 {
			w.write(1, fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		handled := 0
		err := operators.ForEach(ctx, w, func(context.Context, stream.Change) error {
			handled++
			cancel(errStop)
			return nil
		})
		if !errors.Is(err, errStop) || handled != 1 || w.version(1) != 1 {
			t.Errorf("got %v, %d handled, stored %d", err, handled, w.version(1))
		}
	})
}

//covers:handler
func TestForEachEndsAHandlerThatDoesNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		w.write(1, "b")
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		err := operators.ForEach(ctx, w, func(ctx context.Context, c stream.Change) error {
			if c.Batch.Version < 2 {
				return nil
			}
			start = time.Now()
			cancel(errStop)
			<-ctx.Done()
			return context.Cause(ctx)
		}, operators.WithStopTimeout(3*time.Second))
		if !errors.Is(err, operators.ErrStopTimeout) || time.Since(start) != 3*time.Second || w.version(1) != 1 {
			t.Errorf("got %v after %v, stored %d", err, time.Since(start), w.version(1))
		}
	})
}

// A cursor is stored at most a second after its change was handled, also while the
// handler is busy with another one.
func TestForEachStoresEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newRecorder()
		w := newWorld(t, store)
		for i := range 10 {
			w.write(1, fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		_ = operators.ForEach(ctx, w, func(_ context.Context, c stream.Change) error {
			if c.Kind == stream.CaughtUp {
				cancel(errStop)
				return nil
			}
			time.Sleep(400 * time.Millisecond)
			return nil
		})
		var at []time.Duration
		for _, s := range store.saves {
			at = append(at, s.at.Sub(start))
		}
		if want := []time.Duration{1400 * time.Millisecond, 2600 * time.Millisecond, 3800 * time.Millisecond, 4 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("stored at %v, want %v", at, want)
		}
	})
}

func TestForEachEndsWhenFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		err := operators.ForEach(t.Context(), w, func(ctx context.Context, c stream.Change) error {
			_, err := w.store.Acquire(ctx, checkpoint.Claim{Name: "test", Scope: stream.Types(org, typ).String()})
			return err
		})
		if !errors.Is(err, checkpoint.ErrFenced) || w.version(1) != 0 {
			t.Errorf("got %v, stored %d", err, w.version(1))
		}
	})
}

// A store that fails for a while delays, a stop does not lose what is handled.
func TestForEachOutlastsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newRecorder()
		w := newWorld(t, store)
		w.write(1, "a")
		ctx, cancel := context.WithCancelCause(t.Context())
		failures := 0
		store.fail = func() error {
			if failures++; failures == 1 {
				cancel(errStop)
				return errors.New("disk gone")
			}
			return nil
		}
		err := operators.ForEach(ctx, w, func(context.Context, stream.Change) error { return nil })
		if !errors.Is(err, errStop) || w.version(1) != 1 || failures < 2 {
			t.Errorf("got %v, stored %d after %d failures", err, w.version(1), failures)
		}
		store.fail = func() error { return errors.New("disk gone") }
		w.write(1, "b")
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := operators.ForEach(short, w, func(context.Context, stream.Change) error { return nil }); err == nil || !strings.Contains(err.Error(), "disk gone") {
			t.Errorf("what could not be stored is not told: %v", err)
		}
	})
}

func TestForEachReportsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newRecorder()
		w := newWorld(t, store)
		w.write(1, "a", "b")
		w.write(2, "c")
		ctx, cancel := context.WithCancelCause(t.Context())
		var last operators.Progress
		err := operators.ForEach(ctx, w, func(context.Context, stream.Change) error { return nil },
			operators.WithProgress(func(p operators.Progress) {
				last = p
				if int(p.Commits) < store.count() {
					t.Errorf("%d commits told, %d saves", p.Commits, store.count())
				}
				if p.CaughtUp {
					cancel(errStop)
				}
			}))
		if !errors.Is(err, errStop) || last.Changes != 3 || last.Batches != 2 || last.Events != 3 || last.Behind != 0 {
			t.Errorf("got %+v, %v", last, err)
		}
	})
}

type refusing struct{ err error }

func (r refusing) Open(context.Context) (stream.Consumer, error) { return nil, r.err }

func TestSubscribingFails(t *testing.T) {
	_, db := newDatabase(t)
	if err := operators.ForEach(t.Context(), refusing{errEnd}, nil); !errors.Is(err, errEnd) {
		t.Error(err)
	}
	if err := operators.Project(t.Context(), refusing{errEnd}, db, nil); !errors.Is(err, errEnd) {
		t.Error(err)
	}
}
