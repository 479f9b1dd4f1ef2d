package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
)

// withRebuild makes a store in which "orders@2" is built beside "orders", and has handled
// two aggregates of five.
func withRebuild(t *testing.T) (place string) {
	t.Helper()
	place = filledStore(t, "orders", 5, 10)
	inStore(t, place, func(store *checkpoint.File) error {
		if _, err := rebuild.Start(t.Context(), store, "orders@2", "orders", "web-1"); err != nil {
			return err
		}
		if _, err := store.Acquire(t.Context(), checkpoint.Claim{Name: "orders@2", Scope: "everything"}); err != nil {
			return err
		}
		return takeOn(t, store, 2)
	})
	return place
}

// takeOn copies the positions of so many aggregates to the rebuild, and stores how far it is.
func takeOn(t *testing.T, store *checkpoint.File, aggregates int) error {
	owner, err := store.Acquire(t.Context(), checkpoint.Claim{Name: "orders@2", Scope: "everything"})
	if err != nil {
		return err
	}
	for e, err := range store.Scan(t.Context(), "orders") {
		if err != nil {
			return err
		}
		if _, n := e.Key.Aggregate.Uint64s(); int(n) >= aggregates {
			continue
		}
		if err := store.Save(t.Context(), owner, []checkpoint.Entry{e}); err != nil {
			return err
		}
	}
	p, err := rebuild.Compare(t.Context(), store, "orders@2", "orders", nil, nil)
	if err != nil {
		return err
	}
	return rebuild.SaveProgress(t.Context(), store, "orders@2", p)
}

// finish does what the process of a draining rebuild does.
func finish(t *testing.T, place, name string) {
	inStore(t, place, func(store *checkpoint.File) error {
		owner, err := store.Acquire(t.Context(), checkpoint.Claim{Name: name, Scope: "everything"})
		if err != nil {
			return err
		}
		r, err := rebuild.Load(t.Context(), store, name)
		if err != nil {
			return err
		}
		if err := rebuild.Done(t.Context(), store, owner, rebuild.Part{Token: r.Token, Count: 1}); err != nil {
			return err
		}
		_, _, err = rebuild.Finish(t.Context(), store, r)
		return err
	})
}

type shownRebuild struct {
	Name, From string
	State      rebuild.State
	Removed    bool
	Drained    int `json:"drained_partitions"`
	Progress   *struct{ Aggregates, Reached, Versions, Handled int }
}

func shown(t *testing.T, text string) (r shownRebuild) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v of %q", err, text)
	}
	return r
}

func TestRebuildsCutOverAndRollBack(t *testing.T) {
	place := withRebuild(t)
	rebuilds := func(command string, more ...string) []string {
		return append([]string{"rebuilds", command, "--checkpoint", place, "--name", "orders@2"}, more...)
	}
	if got := succeeded(t, "rebuilds", "list", "--checkpoint", place); !strings.HasPrefix(got, "orders@2  building  of orders, since ") ||
		!strings.Contains(got, "21 of 60 versions handled, 2 of 5 aggregates reached") {
		t.Errorf("list says %q", got)
	}
	if r := shown(t, succeeded(t, rebuilds("cutover", "--json")...)); r.State != rebuild.Draining || r.From != "orders" || r.Progress.Reached != 2 {
		t.Errorf("the cut-over says %+v", r)
	}
	inStore(t, place, func(store *checkpoint.File) error { return takeOn(t, store, 5) })
	finish(t, place, "orders@2")
	if r := shown(t, succeeded(t, rebuilds("show", "--json")...)); r.State != rebuild.Current {
		t.Errorf("once it stands there it is %+v", r)
	}
	if r := command(t, rebuilds("abandon")...); r.status != 5 || !strings.Contains(r.stderr, "roll it back instead") {
		t.Errorf("abandoning a current one: status %d, %q", r.status, r.stderr)
	}
	if r := shown(t, succeeded(t, rebuilds("rollback", "--json")...)); r.Name != "orders" || r.From != "orders@2" || r.State != rebuild.Building {
		t.Errorf("the way back is %+v", r)
	}
	succeeded(t, "rebuilds", "abandon", "--checkpoint", place, "--name", "orders")
	if r := command(t, rebuilds("remove")...); r.status != 2 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("removing without --yes: status %d, %q", r.status, r.stderr)
	}
	if r := shown(t, succeeded(t, rebuilds("remove", "--yes", "--json")...)); !r.Removed {
		t.Errorf("after its removal %+v", r)
	}
	if r := command(t, "checkpoints", "show", "--checkpoint", place, "--name", "orders"); r.status != 4 {
		t.Errorf("the removed positions are shown with status %d", r.status)
	}
}

func TestRebuildsAbandonAndTellWhatHoldsThemUp(t *testing.T) {
	place := withRebuild(t)
	on := []string{"--checkpoint", place, "--name", "orders@2"}
	inStore(t, place, func(store *checkpoint.File) error {
		owner, err := store.Acquire(t.Context(), checkpoint.Claim{Name: "orders@2", Scope: "everything"})
		if err != nil {
			return err
		}
		m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}}
		m.Park(checkpoint.Parked{Key: msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(4)}, Version: 3, Error: "no"}, 10)
		return store.Apply(t.Context(), "orders@2", m)
	})
	if got := succeeded(t, append([]string{"rebuilds", "show"}, on...)...); !strings.Contains(got, "1 parked aggregates hold the cut-over up") {
		t.Errorf("show says %q", got)
	}
	if r := shown(t, succeeded(t, append([]string{"rebuilds", "abandon", "--json"}, on...)...)); r.State != rebuild.Superseded {
		t.Errorf("abandoned it is %+v", r)
	}
	if r := command(t, append([]string{"rebuilds", "cutover"}, on...)...); r.status != 5 {
		t.Errorf("cutting over to an abandoned one: status %d, %q", r.status, r.stderr)
	}
	if r := command(t, "rebuilds", "cutover", "--checkpoint", place, "--name", "other"); r.status != 4 || !strings.Contains(r.stderr, `"other"`) {
		t.Errorf("cutting over to nothing: status %d, %q", r.status, r.stderr)
	}
}
