package operators_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// poisoned fails for batches that poison says, after the ledger was written.
func poisoned(poison func(stream.Change) error) func(context.Context, *sql.Tx, []stream.Change) error {
	return func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
		if err := ledger(ctx, tx, changes); err != nil {
			return err
		}
		for _, c := range changes {
			if err := poison(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// background runs a projection until the test ends it.
func background(t *testing.T, w *world, db *sql.DB, apply func(context.Context, *sql.Tx, []stream.Change) error, opts ...operators.ProjectOption) *consumer {
	ctx, cancel := context.WithCancelCause(t.Context())
	c := &consumer{t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() { c.ended <- operators.Project(ctx, w, db, apply, opts...) }()
	synctest.Wait()
	return c
}

// filled writes two batches of each of some aggregates.
func filled(t *testing.T, aggregates int) (*world, *database, *sql.DB) {
	d, db := newDatabase(t)
	w := newWorld(t, newTxStore(t, d, db))
	for range 2 {
		for key := range uint64(aggregates) {
			w.write(key+1, "x")
		}
	}
	return w, d, db
}

// once checks that the ledger holds exactly what is wanted, in any order between
// aggregates.
func sameEffects(t *testing.T, d *database, want []string) {
	t.Helper()
	got := slices.DeleteFunc(d.ledger(), func(s string) bool { return s == "caught up" })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("ledger %v, want %v", got, want)
	}
}

func effects(aggregates int, but ...string) (all []string) {
	for key := range aggregates {
		for v := range 2 {
			if s := fmt.Sprintf("%d.%d", key+1, v+1); !slices.Contains(but, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// One poisoned aggregate is parked; all others take effect, once.
//
//covers:g16
func TestProjectParksTheCulprit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, db := filled(t, 20)
		c := background(t, w, db, poisoned(poisonAt(7, 1)), at(operators.Park))
		time.Sleep(time.Second)
		synctest.Wait()
		sameEffects(t, d, effects(20, "7.1", "7.2"))
		if parked := w.parked(w.store.(*txStore)); len(parked) != 1 || parked[0].Key != keyOf(7) || parked[0].Version != 1 {
			t.Errorf("parked %+v", parked)
		}
		if err := c.stop(); !errors.Is(err, errStop) {
			t.Error(err)
		}
	})
}

// A change that is tried again takes effect once, too, and holds nobody up.
func TestProjectRetriesTheCulprit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, db := filled(t, 20)
		var fail atomic.Bool
		fail.Store(true)
		c := background(t, w, db, poisoned(func(c stream.Change) error {
			if fail.Load() && c.Key == keyOf(7) && c.Batch.Version == 2 {
				return errPoison
			}
			return nil
		}))
		sameEffects(t, d, effects(20, "7.2"))
		fail.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		sameEffects(t, d, effects(20))
		c.stop()
	})
}

func TestProjectSkipsTheCulprit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, db := filled(t, 20)
		c := background(t, w, db, poisoned(poisonAt(7, 1)), at(operators.Skip))
		time.Sleep(time.Second)
		synctest.Wait()
		sameEffects(t, d, effects(20, "7.1"))
		w.passed(w.store.(*txStore), 7, 1, "skipped")
		c.stop()
	})
}

// Three culprits are victims of one cause: nobody is parked, and the slice is tried
// again.
func TestProjectTakesManyCulpritsForOneCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, db := filled(t, 20)
		var down atomic.Bool
		down.Store(true)
		c := background(t, w, db, poisoned(func(c stream.Change) error {
			if _, n := c.Key.Aggregate.Uint64s(); down.Load() && c.Kind == stream.Batch && n%4 == 0 {
				return errPoison
			}
			return nil
		}), at(operators.Park), operators.WithLimits(operators.Limits{Wait: time.Second}))
		time.Sleep(time.Minute)
		synctest.Wait()
		if parked := w.parked(w.store.(*txStore)); len(parked) != 0 {
			t.Errorf("parked %+v", parked)
		}
		down.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		sameEffects(t, d, effects(20))
		c.stop()
	})
}

// Several transactions at once: each batch takes effect once, in order.
func TestProjectWithWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, db := filled(t, 50)
		c := background(t, w, db, poisoned(poisonAt(7, 2)), at(operators.Park), operators.WithWorkers(4),
			operators.WithLimits(operators.Limits{Changes: 5}))
		time.Sleep(time.Minute)
		synctest.Wait()
		sameEffects(t, d, effects(50, "7.2"))
		last := map[string]string{}
		for _, e := range d.ledger() {
			key, version, _ := strings.Cut(e, ".")
			if last[key] >= version && version != "" {
				t.Errorf("%s after version %s", e, last[key])
			}
			last[key] = version
		}
		c.stop()
	})
}

// A handler's error names its change, wherever that stands in the slice.
func TestProjectsErrorNamesTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, db := filled(t, 20)
		c := background(t, w, db, poisoned(poisonAt(7, 2)), atOnce)
		err := <-c.ended
		var failed *operators.HandlerError
		if !errors.As(err, &failed) || failed.Key != keyOf(7) || failed.Version != 2 || failed.More != 0 {
			t.Errorf("ended with %v", err)
		}
	})
}

// A transaction that ended inside the handler, without its notice, ends the
// projection for good: what the handler wrote behind it would be written again.
func TestProjectNoticesThatItsTransactionEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, db := filled(t, 2)
		lost := func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
			_, err := tx.ExecContext(ctx, "lose")
			return err
		}
		err := operators.Project(t.Context(), w, db, lost)
		if !errors.Is(err, operators.ErrTransactionEnded) {
			t.Errorf("ended with %v", err)
		}
		var stopped *operators.StoppedError
		if err := operators.Project(t.Context(), w, db, lost); !errors.As(err, &stopped) {
			t.Errorf("and was continued: %v", err)
		}
		if w.version(1) != 0 {
			t.Errorf("stored %d", w.version(1))
		}
	})
}
