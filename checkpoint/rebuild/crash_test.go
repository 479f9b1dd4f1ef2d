package rebuild_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
)

// mortal is a store whose caller is killed before one of its calls, or, of a change,
// behind it.
type mortal struct {
	checkpoint.RecordStore
	calls  int // until then; -1: never
	behind bool
	killed bool
}

func (m *mortal) before(changes bool) error {
	if m.killed || m.calls == 0 && !m.behind {
		m.killed = true
		return errKilled
	}
	if changes || !m.behind { // behind a call that changes nothing is before the next one
		m.calls--
	}
	return nil
}

func (m *mortal) after(err error) error {
	if m.calls == -1 && m.behind {
		m.killed = true
		return errKilled
	}
	return err
}

func (m *mortal) Acquire(ctx context.Context, c checkpoint.Claim) (checkpoint.Owner, error) {
	if err := m.before(true); err != nil {
		return checkpoint.Owner{}, err
	}
	o, err := m.RecordStore.Acquire(ctx, c)
	return o, m.after(err)
}

func (m *mortal) Apply(ctx context.Context, name string, c checkpoint.Mutation) error {
	if err := m.before(true); err != nil {
		return err
	}
	return m.after(m.RecordStore.Apply(ctx, name, c))
}

func (m *mortal) Describe(ctx context.Context, name string) (checkpoint.Ownership, error) {
	if err := m.before(false); err != nil {
		return checkpoint.Ownership{}, err
	}
	return m.RecordStore.Describe(ctx, name)
}

func (m *mortal) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	if err := m.before(false); err != nil {
		return nil, time.Time{}, err
	}
	return m.RecordStore.Records(ctx, name, prefix)
}

func (m *mortal) Delete(ctx context.Context, name string) error {
	if err := m.before(true); err != nil {
		return err
	}
	return m.after(m.RecordStore.Delete(ctx, name))
}

// site is a store with both versions, and what has become of the batches.
type site struct {
	t      testing.TB
	store  *checkpoint.Memory
	ledger *ledger
	past   []string
}

func newSite(t testing.TB) *site {
	s := &site{t: t, store: checkpoint.NewMemory(), ledger: &ledger{live: make(map[uint64][]string)}}
	if _, err := s.store.Acquire(t.Context(), checkpoint.Claim{Name: oldName, Scope: modelScope}); err != nil {
		t.Fatal(err)
	}
	s.do("start")
	return s
}

// do carries out a step as a whole; "run" has a process of each version handle one
// version at most.
func (s *site) do(what string) {
	s.past = append(s.past, what)
	if what != "run" {
		_ = operations[what](s.t.Context(), s.store) // it may be refused
		return
	}
	s.run(1)
}

// after carries out steps.
func (s *site) after(path []string) {
	for _, what := range path {
		s.do(what)
	}
}

// run runs a process of each version, and returns what they ended with.
func (s *site) run(versions int) (ended [2]error) {
	for i, name := range []string{oldName, newName} {
		ended[i] = process(s.ledger, name, versions)(s.store)
	}
	if s.ledger.broken != "" {
		s.t.Fatalf("%s: %s", strings.Join(s.past, ", "), s.ledger.broken)
	}
	return ended
}

// killed carries out a step whose caller is killed; false if it ended before.
func (s *site) killed(what string, calls int, behind bool) bool {
	s.past = append(s.past, fmt.Sprintf("%s killed after %d calls (%v)", what, calls, behind))
	m := &mortal{RecordStore: s.store, calls: calls, behind: behind}
	_ = operations[what](s.t.Context(), m)
	return m.killed
}

// standing describes the stored state, without what differs from run to run.
func (s *site) standing() string {
	ctx, out := s.t.Context(), ""
	all, err := rebuild.List(ctx, s.store)
	for _, name := range []string{oldName, newName} {
		o, err2 := s.store.Describe(ctx, name)
		by, superseded, err3 := checkpoint.ParseSupersession(name, o.Scope)
		if err := errors.Join(err, err2, err3); err != nil {
			s.t.Fatal(err)
		}
		out += fmt.Sprintf("%s %s %v %v %s, ", name, all[name].State, o.Claimed, superseded, by.By)
	}
	return out
}

// check requires that one of both versions goes on alone, and has handled what the
// other has not.
func (s *site) check() {
	var ended [2]error
	for range 3 {
		ended = s.run(head + 2)
	}
	all, err := rebuild.List(s.t.Context(), s.store)
	if err != nil {
		s.t.Fatal(err)
	}
	refused := 0
	for i, name := range []string{oldName, newName} {
		if r := all[name]; ended[i] != nil && (r.Gated() || !errors.Is(ended[i], checkpoint.ErrSuperseded)) || r.State == rebuild.Draining {
			s.t.Fatalf("%s: a process of %s ended with %v; %s", strings.Join(s.past, ", "), name, ended[i], s.standing())
		}
		if ended[i] != nil {
			refused++
		}
	}
	if refused > 1 {
		s.t.Fatalf("%s: both are superseded; %s", strings.Join(s.past, ", "), s.standing())
	}
	for v := uint64(1); v <= head; v++ {
		if len(s.ledger.live[v]) != 1 {
			s.t.Fatalf("%s: version %d took effect by %v; %s", strings.Join(s.past, ", "), v, s.ledger.live[v], s.standing())
		}
	}
}

// Every step, in every state that can be reached, is killed at every call of the store,
// before and behind it; any other step may follow, or the same one again.
//
//covers:g19 killed
func TestKilledAtEveryCall(t *testing.T) {
	steps := append(slices.Sorted(maps.Keys(operations)), "run")
	reached := map[string][]string{newSite(t).standing(): nil}
	for queue := [][]string{nil}; len(queue) > 0; queue = queue[1:] {
		for _, what := range steps {
			s := newSite(t)
			path := append(slices.Clone(queue[0]), what)
			s.after(path)
			if _, known := reached[s.standing()]; !known {
				reached[s.standing()] = path
				queue = append(queue, path)
			}
		}
	}
	kills := 0
	for _, path := range reached {
		for what := range operations {
			for _, behind := range []bool{false, true} {
				for calls := 0; ; calls++ {
					fell := false
					for _, next := range append(steps, "") {
						s := newSite(t)
						s.after(path)
						fell = s.killed(what, calls, behind)
						if next != "" {
							s.do(next)
						}
						s.check()
						kills++
					}
					if !fell {
						break
					}
				}
			}
		}
	}
	t.Logf("%d states, %d kills", len(reached), kills)
	if len(reached) < 8 || kills < 2000 {
		t.Errorf("only %d states, %d kills", len(reached), kills)
	}
}
