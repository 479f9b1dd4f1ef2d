package rebuild_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
	"pgregory.net/rapid"
)

// The model: an aggregate of so many versions, a subscription and its rebuild, whose
// processes handle a version and store the cursor behind it in one transaction, and an
// operator. Each call of the store is a step; which of them comes next, and who is
// killed before it or loses its answer, is drawn.
const (
	oldName, newName = "orders", "orders@2"
	modelScope       = "types 1/2"
	head             = 4
)

var modelKey = msg.Key{Org: msg.IDFromUint64(1)}

var errKilled = errors.New("killed")

// ledger counts how often each version took effect, and how.
type ledger struct {
	live   map[uint64][]string // who handled it as the first
	broken string
}

func (l *ledger) effect(name string, version uint64, replay bool) {
	switch {
	case replay && len(l.live[version]) == 0:
		l.broken = fmt.Sprintf("%s handled %d as a replay, and nobody had", name, version)
	case replay:
	case len(l.live[version]) > 0:
		l.broken = fmt.Sprintf("%s handled %d, which %v had", name, version, l.live[version])
	default:
		l.live[version] = append(l.live[version], name)
	}
}

// actor is a process or an operator: every call of its store waits for a turn.
type actor struct {
	checkpoint.RecordStore
	name string
	turn chan bool     // true: go on; false: killed
	rest chan struct{} // receives before each call, and is closed at the end
	err  error
}

func begin(store checkpoint.RecordStore, name string, work func(checkpoint.RecordStore) error) *actor {
	a := &actor{RecordStore: store, name: name, turn: make(chan bool), rest: make(chan struct{})}
	go func() {
		defer close(a.rest)
		a.err = work(a)
	}()
	<-a.rest
	return a
}

// step lets the actor make one call; false once it has ended.
func (a *actor) step(alive bool) bool {
	select {
	case a.turn <- alive:
	case <-a.rest:
		return false
	}
	_, open := <-a.rest
	return open
}

// kill ends the actor before its next call.
func (a *actor) kill() {
	for a.step(false) {
	}
}

func (a *actor) wait() error {
	a.rest <- struct{}{}
	if !<-a.turn {
		return errKilled
	}
	return nil
}

func (a *actor) Acquire(ctx context.Context, c checkpoint.Claim) (o checkpoint.Owner, err error) {
	if err := a.wait(); err != nil {
		return o, err
	}
	return a.RecordStore.Acquire(ctx, c)
}

func (a *actor) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	if err := a.wait(); err != nil {
		return nil, err
	}
	return a.RecordStore.Load(ctx, name, keys)
}

func (a *actor) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	if err := a.wait(); err != nil {
		return nil, time.Time{}, err
	}
	return a.RecordStore.Records(ctx, name, prefix)
}

func (a *actor) Describe(ctx context.Context, name string) (checkpoint.Ownership, error) {
	if err := a.wait(); err != nil {
		return checkpoint.Ownership{}, err
	}
	return a.RecordStore.Describe(ctx, name)
}

func (a *actor) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if err := a.wait(); err != nil {
		return err
	}
	return a.RecordStore.Apply(ctx, name, m)
}

func (a *actor) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return func(yield func(checkpoint.Entry, error) bool) {
		if err := a.wait(); err != nil {
			yield(checkpoint.Entry{}, err)
			return
		}
		a.RecordStore.Scan(ctx, name)(yield)
	}
}

func modelCursor(version uint64) checkpoint.Cursor {
	if version == 0 {
		return checkpoint.Cursor{}
	}
	return checkpoint.Cursor{Version: version, Anchor: checkpoint.Anchor{Hash: version}}
}

// process handles versions as package stream does: it asks for its part before and after
// its claim, and looks at its state again before each version, of which it handles some.
func process(l *ledger, name string, versions int) func(checkpoint.RecordStore) error {
	return func(a checkpoint.RecordStore) error {
		ctx := context.Background()
		if _, _, err := rebuild.Open(ctx, a, name); err != nil {
			return err
		}
		owner, err := a.Acquire(ctx, checkpoint.Claim{Name: name, Scope: modelScope})
		if err != nil {
			return err
		}
		r, is, err := rebuild.Open(ctx, a, name)
		if err != nil {
			return err
		}
		gated := is && r.Gated()
		for range versions {
			if gated {
				if r, err = rebuild.Load(ctx, a, name); err != nil {
					return err
				}
				if r.State == rebuild.Superseded {
					return errors.New("given up")
				}
				gated = r.Gated()
			}
			mine, err := a.Load(ctx, name, []msg.Key{modelKey})
			if err != nil {
				return err
			}
			next := mine[0].Version + 1
			replay := false
			if gated {
				theirs, err := a.Load(ctx, r.From, []msg.Key{modelKey})
				if err != nil {
					return err
				}
				step := rebuild.Step{Version: next, Anchor: modelCursor(next).Anchor, Previous: mine[0]}
				if rebuild.Judge(step, theirs[0], rebuild.Same) != rebuild.Pass {
					if r.State == rebuild.Draining {
						if err := drain(ctx, a, owner, r); err != nil {
							return err
						}
					}
					continue
				}
				replay = true
			} else if next > head {
				return nil
			}
			err = a.Apply(ctx, name, checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: []checkpoint.Entry{
				{Key: modelKey, Cursor: modelCursor(next), From: mine[0], Compare: true},
			}})
			if err != nil {
				return err
			}
			l.effect(name, next, replay)
		}
		return nil
	}
}

// drain does what a process of a draining rebuild does.
func drain(ctx context.Context, a checkpoint.RecordStore, owner checkpoint.Owner, r rebuild.Rebuild) error {
	if _, err := rebuild.CutOver(ctx, a, r.Name, "process"); err != nil {
		return err // the claim that a killed operator has left to be made
	}
	p, err := rebuild.Compare(ctx, a, r.Name, r.From, nil, nil)
	if err != nil || p.Reached < p.Aggregates {
		return err
	}
	if err := rebuild.Done(ctx, a, owner, rebuild.Part{Token: r.Token, Count: 1}); err != nil {
		return err
	}
	done, err := rebuild.AllDone(ctx, a, r.Name, r.Token)
	if err != nil || !done {
		return err
	}
	_, _, err = rebuild.Finish(ctx, a, r)
	return err
}

var operations = map[string]func(ctx context.Context, store checkpoint.RecordStore) error{
	"start": func(ctx context.Context, s checkpoint.RecordStore) error {
		return only(rebuild.Start(ctx, s, newName, oldName, "test"))
	},
	"cut over": func(ctx context.Context, s checkpoint.RecordStore) error {
		return only(rebuild.CutOver(ctx, s, newName, "test"))
	},
	"abort": func(ctx context.Context, s checkpoint.RecordStore) error {
		return only(rebuild.Abort(ctx, s, newName, "test"))
	},
	"roll back": func(ctx context.Context, s checkpoint.RecordStore) error {
		return only(rebuild.Rollback(ctx, s, newName, "test"))
	},
	"cut back": func(ctx context.Context, s checkpoint.RecordStore) error {
		return only(rebuild.CutOver(ctx, s, oldName, "test"))
	},
	"abort back": func(ctx context.Context, s checkpoint.RecordStore) error {
		return only(rebuild.Abort(ctx, s, oldName, "test"))
	},
}

func only(_ rebuild.Rebuild, err error) error { return err }

// TestModel runs steps, processes and kills in random orders. Each version takes effect
// for the first time once, and is a replay only in the subscription that handles it after
// that. At the end, without further steps, one of the two subscriptions handles the rest.
func TestModel(t *testing.T) { rapid.Check(t, model) }

func model(t *rapid.T) {
	store := checkpoint.NewMemory()
	l := &ledger{live: make(map[uint64][]string)}
	// The predecessor exists, and its rebuild is begun before its first process.
	if _, err := store.Acquire(t.Context(), checkpoint.Claim{Name: oldName, Scope: modelScope}); err != nil {
		t.Fatal(err)
	}
	if err := operations["start"](t.Context(), store); err != nil {
		t.Fatal(err)
	}
	var actors []*actor
	defer func() {
		for _, a := range actors {
			a.kill()
		}
	}()
	whats := append(slices.Sorted(maps.Keys(operations)), oldName, newName, oldName, newName)
	for range rapid.IntRange(5, 80).Draw(t, "turns") {
		if len(actors) < 3 {
			what := rapid.SampledFrom(whats).Draw(t, "actor")
			work := process(l, what, 4*head)
			if operate := operations[what]; operate != nil {
				work = func(a checkpoint.RecordStore) error { return operate(context.Background(), a) }
			}
			actors = append(actors, begin(store, what, work))
		}
		i := rapid.IntRange(0, len(actors)-1).Draw(t, "who")
		going := true
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			going = going && actors[i].step(true)
		}
		if going && rapid.IntRange(0, 9).Draw(t, "dies") == 0 {
			actors[i].kill()
			going = false
		}
		if !going {
			actors = slices.Delete(actors, i, i+1)
		}
		if l.broken != "" {
			t.Fatal(l.broken)
		}
	}
	for _, a := range actors {
		a.kill()
	}
	actors = nil
	settleDown(t, store, l)
}

// settleDown runs the processes alone until nothing changes.
func settleDown(t *rapid.T, store checkpoint.RecordStore, l *ledger) {
	for range 4 {
		for _, name := range []string{oldName, newName} {
			a := begin(store, name, process(l, name, 4*head))
			for a.step(true) {
			}
			if l.broken != "" {
				t.Fatal(l.broken)
			}
			if errors.Is(a.err, errKilled) {
				t.Fatal(a.err)
			}
		}
	}
	for v := uint64(1); v <= head; v++ {
		if len(l.live[v]) != 1 {
			all, err := rebuild.List(context.Background(), store)
			t.Fatalf("version %d took effect by %v; %+v, %v", v, l.live[v], all, err)
		}
	}
}
