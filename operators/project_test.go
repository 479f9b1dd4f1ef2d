package operators_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// ledger writes one effect for each change.
func ledger(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
	for _, c := range changes {
		if _, err := tx.ExecContext(ctx, "effect", describe(c)); err != nil {
			return err
		}
	}
	return nil
}

// sqliteError is shaped like the errors of modernc.org/sqlite.
type sqliteError int

func (e sqliteError) Error() string { return fmt.Sprintf("database says %d", int(e)) }
func (e sqliteError) Code() int     { return int(e) }

// stateError is shaped like the errors of PostgreSQL drivers.
type stateError string

func (e stateError) Error() string    { return "database says " + string(e) }
func (e stateError) SQLState() string { return string(e) }

var busy = sqliteError(5)

// atOnce ends a consumer with the first failure of its handler.
var atOnce = operators.WithVerdicts(func(operators.Failure) operators.Verdict { return operators.Stop })

// projected runs a projection of batches "1.1" to "1.n" until it has caught up
// or ends by itself.
func projected(t *testing.T, batches int, prepare func(*world, *database), opts ...operators.ProjectOption) (*world, *database, error) {
	t.Helper()
	d, db := newDatabase(t)
	w := newWorld(t, newTxStore(t, d, db))
	for i := range batches {
		w.write(1, fmt.Sprint(i))
	}
	prepare(w, d)
	return w, d, project(t, w, db, ledger, opts...)
}

func project(t *testing.T, w *world, db *sql.DB, apply func(context.Context, *sql.Tx, []stream.Change) error, opts ...operators.ProjectOption) error {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	opts = append(opts, operators.WithProgress(func(p operators.Progress) {
		if p.CaughtUp {
			cancel(errStop)
		}
	}))
	return operators.Project(ctx, w, db, apply, opts...)
}

var allThree = []string{"1.1", "1.2", "1.3", "caught up"}

func TestProjectAppliesAndStoresTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, err := projected(t, 3, func(*world, *database) {})
		if !errors.Is(err, errStop) || !slices.Equal(d.ledger(), allThree) || w.version(1) != 3 {
			t.Errorf("got %v, %v, stored %d", err, d.ledger(), w.version(1))
		}
	})
}

// once fails the n-th time a statement is met.
func once(statement string, n int, err error) func(string) error {
	return func(s string) error {
		if s == statement {
			if n--; n == 0 {
				return err
			}
		}
		return nil
	}
}

func TestProjectRepeatsAfterPassingErrors(t *testing.T) {
	for _, passing := range []error{busy, sqliteError(5 | 2<<8), sqliteError(6), stateError("40001"), stateError("40P01"), stateError("57P01"), driver.ErrBadConn} {
		for _, statement := range []string{"begin", "lock", "cursor", "effect"} {
			synctest.Test(t, func(t *testing.T) {
				w, d, err := projected(t, 3, func(_ *world, d *database) { d.onStatement = once(statement, 1, passing) })
				if !errors.Is(err, errStop) || !slices.Equal(d.ledger(), allThree) || w.version(1) != 3 {
					t.Errorf("%v at %s: got %v, %v, stored %d", passing, statement, err, d.ledger(), w.version(1))
				}
			})
		}
	}
}

func TestProjectEndsAfterOtherErrors(t *testing.T) {
	for _, final := range []error{sqliteError(13), sqliteError(19), stateError("23505"), errors.New("what is this")} {
		for _, statement := range []string{"begin", "lock", "cursor", "effect"} {
			synctest.Test(t, func(t *testing.T) {
				w, d, err := projected(t, 3, func(_ *world, d *database) {
					d.onStatement = func(s string) error {
						if s == statement {
							return final
						}
						return nil
					}
				}, atOnce)
				if !errors.Is(err, final) || len(d.ledger()) != 0 || w.version(1) != 0 {
					t.Errorf("%v at %s: got %v, %v, stored %d", final, statement, err, d.ledger(), w.version(1))
				}
			})
		}
	}
}

// The answer to a commit is lost: what became of it decides what follows.
//
//covers:store
func TestProjectAfterACommitOfUnknownOutcome(t *testing.T) {
	for name, happened := range map[string]outcome{"landed": commits, "lost": rollsBack} {
		for _, failure := range []error{driver.ErrBadConn, stateError("08006")} {
			synctest.Test(t, func(t *testing.T) {
				first := true
				w, d, err := projected(t, 3, func(_ *world, d *database) {
					d.onCommit = func() (outcome, error) {
						if first {
							first = false
							return happened, failure
						}
						return commits, nil
					}
				})
				if !errors.Is(err, errStop) || !slices.Equal(d.ledger(), allThree) || w.version(1) != 3 {
					t.Errorf("%s: got %v, %v, stored %d", name, err, d.ledger(), w.version(1))
				}
			})
		}
	}
}

// The server goes on committing after the connection was lost. Asking without
// the owner's lock would answer "not stored", and the effect would come twice.
func TestProjectWaitsForACommitThatIsStillUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		w, d, err := projected(t, 3, func(_ *world, d *database) {
			d.onCommit = func() (outcome, error) {
				if !first {
					return commits, nil
				}
				first = false
				go func() {
					land := <-late
					time.Sleep(30 * time.Second)
					land()
				}()
				return lateness, driver.ErrBadConn
			}
		})
		if !errors.Is(err, errStop) || !slices.Equal(d.ledger(), allThree) || w.version(1) != 3 {
			t.Errorf("got %v, %v, stored %d", err, d.ledger(), w.version(1))
		}
	})
}

// Until the outcome is known nothing is applied again, however often asking
// fails.
func TestProjectAsksUntilItKnows(t *testing.T) {
	for _, statement := range []string{"begin", "lock", "load"} {
		synctest.Test(t, func(t *testing.T) {
			failures := 0
			w, d, err := projected(t, 3, func(_ *world, d *database) {
				lost := false
				d.onCommit = func() (outcome, error) {
					if !lost {
						lost = true
						return commits, driver.ErrBadConn
					}
					return commits, nil
				}
				d.onStatement = func(s string) error {
					if s == "effect" && lost && failures < 6 {
						t.Error("applied before the outcome was known")
					}
					if s == statement && lost && failures < 6 {
						failures++
						return busy
					}
					return nil
				}
			})
			if !errors.Is(err, errStop) || !slices.Equal(d.ledger(), allThree) || w.version(1) != 3 || failures != 6 {
				t.Errorf("%s: got %v, %v, stored %d, %d failures", statement, err, d.ledger(), w.version(1), failures)
			}
		})
	}
}

// A commit that was refused, and really did nothing, ends the projection.
func TestProjectEndsAfterARefusedCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := stateError("23503")
		w, d, err := projected(t, 3, func(_ *world, d *database) {
			d.onCommit = func() (outcome, error) { return rollsBack, refusal }
		})
		if !errors.Is(err, refusal) || len(d.ledger()) != 0 || w.version(1) != 0 {
			t.Errorf("got %v, %v, stored %d", err, d.ledger(), w.version(1))
		}
	})
}

func TestProjectEndsWithTheHandlersError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		w := newWorld(t, newTxStore(t, d, db))
		for i := range 5 {
			w.write(1, fmt.Sprint(i))
		}
		poison := errors.New("poison")
		err := project(t, w, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
			if err := ledger(ctx, tx, changes); err != nil {
				return err
			}
			if slices.ContainsFunc(changes, func(c stream.Change) bool { return c.Batch.Version == 3 }) {
				return poison
			}
			return nil
		}, operators.WithLimits(operators.Limits{Changes: 2}), atOnce)
		var failed *operators.HandlerError
		if !errors.Is(err, poison) || !errors.As(err, &failed) || failed.Version != 3 || failed.More != 0 {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(err.Error(), "batch 3 of "+keyOf(1).String()+": poison") {
			t.Errorf("%q does not name the change that failed", err)
		}
		if !slices.Equal(d.ledger(), []string{"1.1", "1.2"}) || w.version(1) != 2 {
			t.Errorf("%v, stored %d", d.ledger(), w.version(1))
		}
	})
}

func TestProjectMakesPanicsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		w := newWorld(t, newTxStore(t, d, db))
		w.write(1, "a")
		err := project(t, w, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
			if err := ledger(ctx, tx, changes); err != nil {
				return err
			}
			panic(busy) // not even one that looks like a passing error is repeated
		}, atOnce)
		var panicked *operators.PanicError
		if !errors.As(err, &panicked) || len(d.ledger()) != 0 || w.version(1) != 0 || d.begun != 1 {
			t.Errorf("got %v, %v, stored %d", err, d.ledger(), w.version(1))
		}
	})
}

// Somebody else takes over while a transaction is at work: nothing of it stays.
//
//covers:lease
func TestProjectEndsWhenFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, err := projected(t, 3, func(w *world, d *database) {
			d.onStatement = func(s string) error {
				if s == "lock" {
					_, err := w.store.Acquire(context.Background(), checkpoint.Claim{Name: "test", Scope: stream.Types(org, typ).String()})
					return err
				}
				return nil
			}
		})
		if !errors.Is(err, checkpoint.ErrFenced) || len(d.ledger()) != 0 || w.version(1) != 0 {
			t.Errorf("got %v, %v, stored %d", err, d.ledger(), w.version(1))
		}
	})
}

func TestProjectNeedsATxStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, db := newDatabase(t)
		w := newWorld(t, checkpoint.NewMemory())
		err := project(t, w, db, ledger)
		var unfit *operators.StoreError
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), `"test"`) || !strings.Contains(err.Error(), "*checkpoint.Memory") {
			t.Errorf("got %v", err)
		}
	})
}

func TestProjectStopsInTwoPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		w := newWorld(t, newTxStore(t, d, db))
		for i := range 4 {
			w.write(1, fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		err := operators.Project(ctx, w, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
			cancel(errStop)
			time.Sleep(9 * time.Second)
			return ledger(ctx, tx, changes)
		}, operators.WithLimits(operators.Limits{Changes: 2}))
		if !errors.Is(err, errStop) || !slices.Equal(d.ledger(), []string{"1.1", "1.2"}) || w.version(1) != 2 {
			t.Errorf("got %v, %v, stored %d", err, d.ledger(), w.version(1))
		}
	})
}

func TestProjectGivesUpAtItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w, d, err := projected(t, 1, func(_ *world, d *database) {
			d.onStatement = func(s string) error {
				if s == "begin" {
					return busy
				}
				return nil
			}
		}, operators.WithRetryLimit(time.Minute))
		took := time.Since(start)
		if !errors.Is(err, busy) || took < time.Minute || took > 70*time.Second || w.version(1) != 0 || len(d.ledger()) != 0 {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestProjectPausesWithoutSpinningUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		w := newWorld(t, newTxStore(t, d, db))
		w.write(1, "a")
		attempts := 0
		d.onStatement = func(s string) error {
			if s == "begin" {
				attempts++
				return busy
			}
			return nil
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errStop)
		defer cancel()
		err := operators.Project(ctx, w, db, ledger)
		if !errors.Is(err, errStop) || !errors.Is(err, busy) || attempts > 300 || attempts < 100 {
			t.Errorf("got %v after %d attempts", err, attempts)
		}
	})
}

func TestPassingErrorsOfTheCallersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := errors.New("odd but passing")
		_, d, err := projected(t, 3, func(_ *world, d *database) { d.onStatement = once("effect", 2, odd) },
			operators.WithPassing(func(err error) bool { return errors.Is(err, odd) }))
		if !errors.Is(err, errStop) || !slices.Equal(d.ledger(), allThree) {
			t.Errorf("got %v, %v", err, d.ledger())
		}
	})
}

// Kinds that are no batches reach apply too, in their place.
func TestProjectHandsOutEveryKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		w := newWorld(t, newTxStore(t, d, db))
		w.write(1, "a")
		if err := project(t, w, db, ledger); !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		err := w.pool.Delete(t.Context(), &msg.DeleteRequest{ClientID: clientID, Deletes: []msg.AggregateDelete{{Key: keyOf(1), AllowRecreate: true}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := project(t, w, db, ledger); !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		w.write(1, "b")
		if err := project(t, w, db, ledger); !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		if want := []string{"1.1", "caught up", "1 deleted", "caught up", "1.1", "caught up"}; !slices.Equal(d.ledger(), want) {
			t.Errorf("got %v, want %v", d.ledger(), want)
		}
	})
}

// The engine forgets an aggregate once its cursor is stored, but for some that came
// to rest lately, and looks it up when it changes again. A projection that did not
// tell it would fill its memory.
func TestProjectTellsTheEngineWhatIsStored(t *testing.T) {
	const more = 1100 // than are held at rest
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		store := newTxStore(t, d, db)
		w := newWorld(t, store)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error)
		go func() { ended <- operators.Project(ctx, w, db, ledger) }()
		all := func(text string) {
			for n := range more {
				w.write(uint64(n), text)
			}
			synctest.Wait()
		}
		all("a")
		before := store.loads.Load()
		all("b")
		if loads := store.loads.Load() - before; w.version(more-1) != 2 || loads == 0 {
			t.Errorf("stored %d, %d loads since", w.version(more-1), loads)
		}
		cancel(errStop)
		if err := <-ended; !errors.Is(err, errStop) {
			t.Error(err)
		}
	})
}

// Faults everywhere, restarts in between: each batch takes effect once, in order.
//
//covers:g12
func TestProjectIsExactUnderFaults(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			d, db := newDatabase(t)
			w := newWorld(t, newTxStore(t, d, db))
			faults := 0
			d.onStatement = func(s string) error {
				if rng.IntN(40) > 0 {
					return nil
				}
				faults++
				return []error{busy, driver.ErrBadConn, errors.New("fatal")}[rng.IntN(3)]
			}
			d.onCommit = func() (outcome, error) {
				if rng.IntN(4) > 0 {
					return commits, nil
				}
				faults++
				return outcome(rng.IntN(2)), []error{driver.ErrBadConn, errors.New("no idea")}[rng.IntN(2)]
			}
			want := map[uint64]uint64{}
			for range 8 {
				for range rng.IntN(20) {
					key := uint64(1 + rng.IntN(4))
					w.write(key, "x")
					want[key]++
				}
				_ = project(t, w, db, ledger, operators.WithLimits(operators.Limits{Changes: 1 + rng.IntN(6)}))
			}
			d.onStatement, d.onCommit = nil, nil
			if err := project(t, w, db, ledger); !errors.Is(err, errStop) {
				t.Fatal(err)
			}
			if faults == 0 {
				t.Errorf("seed %d: nothing failed", seed)
			}
			got := map[uint64]uint64{}
			for _, effect := range d.ledger() {
				var key, version uint64
				if _, err := fmt.Sscanf(effect, "%d.%d", &key, &version); err != nil {
					continue // caught up
				}
				if got[key]++; got[key] != version {
					t.Fatalf("seed %d: %s where %d.%d belongs", seed, effect, key, got[key])
				}
			}
			for key, n := range want {
				if got[key] != n {
					t.Errorf("seed %d: %d of %d batches of %d", seed, got[key], n, key)
				}
			}
		})
	}
}

// knowing is a world that tells its store before it is opened.
type knowing struct{ *world }

func (k knowing) Store() checkpoint.Store { return k.store }

// A projection that cannot work is refused before it takes the ownership from
// a consumer that does.
func TestProjectIsRefusedBeforeItFencesAnybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, db := newDatabase(t)
		w := newWorld(t, checkpoint.NewMemory())
		working, err := w.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer working.Close(context.Background())
		err = operators.Project(t.Context(), knowing{w}, db, nil)
		var refused *operators.StoreError
		if !errors.As(err, &refused) {
			t.Errorf("Project ended with %v", err)
		}
		if err := w.store.Save(t.Context(), working.Owner(), nil); err != nil {
			t.Errorf("the working consumer lost its ownership: %v", err)
		}
	})
}
