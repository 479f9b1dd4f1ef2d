package operators_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// version is one version of a consumer: its subscription, and the loop that runs it.
type version struct {
	*world
	name, of string
	run      func(ctx context.Context, src operators.Source) error
}

// Open makes a version an operators.Source.
func (v *version) Open(ctx context.Context) (stream.Consumer, error) {
	return stream.Open(ctx, stream.FromPool(v.pool), stream.Types(org, typ), stream.Options{Name: v.name, Store: v.store, RebuildOf: v.of})
}

// start runs a process of the version.
func (v *version) start() (stop func() error) {
	ctx, cancel := context.WithCancelCause(v.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.run(ctx, v) }()
	return func() error {
		cancel(errStop)
		return <-ended
	}
}

// settle lets virtual time pass until everything has come to rest.
func settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

func (w *world) records() checkpoint.RecordStore { return w.store.(checkpoint.RecordStore) }

func (w *world) step(step func(context.Context, checkpoint.RecordStore, string, string) (rebuild.Rebuild, error), name string) rebuild.Rebuild {
	w.t.Helper()
	r, err := step(w.t.Context(), w.records(), name, "test")
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) stands(name string, want rebuild.State) {
	w.t.Helper()
	if r, err := rebuild.Load(w.t.Context(), w.records(), name); err != nil || r.State != want {
		w.t.Errorf("%q is %+v, %v, want %s", name, r, err, want)
	}
}

// rebuilt takes two versions from the beginning of the second one through its cut-over,
// and back. shown returns what the read model of a version shows. Batches written at a cut-over
// come behind pause: a handler may be called before its owner hears of a fence.
func rebuilt(w *world, one, two *version, pause func(), shown func(name string) []string) {
	t := w.t
	t.Helper()
	var all []string
	write := func(key uint64) {
		w.write(key, "x")
		all = append(all, fmt.Sprintf("%d.%d", key, count(all, key)+1))
	}
	shows := func(what, name string, want []string) {
		t.Helper()
		want = slices.Sorted(slices.Values(want))
		if got := shown(name); !slices.Equal(got, want) {
			t.Errorf("%s, %s shows %v, want %v", what, name, got, want)
		}
	}
	for i := range uint64(12) {
		write(i % 5)
	}
	stopOne := one.start()
	settle()
	stopOne()
	seen := slices.Clone(all)
	for i := range uint64(7) {
		write(i)
	}
	stopTwo := two.start()
	settle()
	shows("while the old version rests", two.name, seen)
	stopOne = one.start()
	settle()
	shows("behind the old version", two.name, all)

	w.step(rebuild.CutOver, two.name)
	pause()
	write(3)
	settle()
	if err := stopOne(); !errors.Is(err, checkpoint.ErrSuperseded) || !errors.Is(err, checkpoint.ErrFenced) {
		t.Errorf("the old version ended with %v", err)
	}
	w.stands(two.name, rebuild.Current)
	shows("after the cut-over", two.name, all)
	shows("after the cut-over", one.name, all[:len(all)-1])

	// The way back: the old version catches up as the rebuild, and takes the place.
	w.step(rebuild.Rollback, two.name)
	write(4)
	settle()
	stopOne = one.start()
	settle()
	shows("on the way back", one.name, all)
	w.step(rebuild.CutOver, one.name)
	pause()
	write(5)
	settle()
	if err := stopTwo(); !errors.Is(err, checkpoint.ErrSuperseded) {
		t.Errorf("the new version ended with %v", err)
	}
	w.stands(one.name, rebuild.Current)
	shows("after the way back", one.name, all)
	shows("after the way back", two.name, all[:len(all)-1])
	if err := stopOne(); !errors.Is(err, errStop) {
		t.Errorf("in the end the old version ended with %v", err)
	}
}

func count(all []string, key uint64) (n int) {
	for _, a := range all {
		var k, v int
		_, _ = fmt.Sscanf(a, "%d.%d", &k, &v)
		if uint64(k) == key {
			n++
		}
	}
	return n
}

// model is what handlers of several versions have built and done, by name.
type model struct {
	rows    map[string][]string
	effects map[string]int // of what is no replay, by whichever version
}

//covers:g19
func TestForEachThroughACutOverAndBack(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, checkpoint.NewMemory())
			m := model{rows: make(map[string][]string), effects: make(map[string]int)}
			lock := make(chan struct{}, 1)
			open := func(name, of string) *version {
				// Handlers that build the rows handle replays, those that act do not.
				act := operators.SkipReplays()(func(_ context.Context, c stream.Change) error {
					m.effects[describe(c)]++
					return nil
				})
				return &version{world: w, name: name, of: of, run: func(ctx context.Context, src operators.Source) error {
					return operators.ForEach(ctx, src, func(ctx context.Context, c stream.Change) error {
						lock <- struct{}{}
						defer func() { <-lock }()
						if c.Kind != stream.Batch {
							return nil
						}
						m.rows[name] = append(m.rows[name], describe(c))
						return act(ctx, c)
					}, operators.WithWorkers(workers))
				}}
			}
			rebuilt(w, open("orders", ""), open("orders@2", "orders"), settle, func(name string) []string {
				lock <- struct{}{}
				defer func() { <-lock }()
				return slices.Sorted(slices.Values(m.rows[name]))
			})
			union := make(map[string]bool)
			for _, rows := range m.rows {
				for _, r := range rows {
					union[r] = true
				}
			}
			if len(m.effects) != len(union) {
				t.Errorf("%d changes took effect of %d", len(m.effects), len(union))
			}
			for what, times := range m.effects {
				if times != 1 {
					t.Errorf("%s took effect %d times", what, times)
				}
			}
		})
	}
}

//covers:g19
func TestProjectThroughACutOverAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		w := newWorld(t, newTxStore(t, d, db))
		open := func(name, of string) *version {
			return &version{world: w, name: name, of: of, run: func(ctx context.Context, src operators.Source) error {
				return operators.Project(ctx, src, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
					for _, c := range changes {
						if c.Kind != stream.Batch {
							continue
						}
						if _, err := tx.ExecContext(ctx, "effect", name+" "+describe(c)); err != nil {
							return err
						}
					}
					return nil
				})
			}}
		}
		rebuilt(w, open("orders", ""), open("orders@2", "orders"), func() {}, func(name string) (rows []string) {
			for _, e := range d.ledger() {
				var of, row string
				if _, err := fmt.Sscan(e, &of, &row); err == nil && of == name {
					rows = append(rows, row)
				}
			}
			slices.Sort(rows)
			return rows
		})
		once := make(map[string]int)
		for _, e := range d.ledger() {
			once[e]++
		}
		for e, n := range once {
			if n != 1 {
				t.Errorf("%s was applied %d times", e, n)
			}
		}
	})
}
