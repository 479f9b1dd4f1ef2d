package requests

import (
	"errors"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func aPair(w *world.World) bool { return w.Server.Pair() }

var leaderRules = []world.Rule{
	{Name: "leader_is_found", Check: leaderFound, Needs: aPair},
	{Name: "follower_refuses_changes", Check: followerRefuses, Needs: aPair},
	{Name: "follower_comes_to_show_the_same", Check: followerShows, Needs: aPair},
	{Name: "follower_notifies", Check: followerNotifies, Needs: aPair},
}

// follower returns the pool bound to a node that does not lead.
func follower(t *testing.T, w *world.World) *pool.View {
	t.Helper()
	leader, err := w.Pool.Leader(t.Context())
	world.Must(t, err)
	for _, address := range w.Server.Addresses {
		if address != leader {
			view, err := w.Pool.At(address)
			world.Must(t, err)
			return view
		}
	}
	t.Fatalf("%s leads, and there is no other node in %v", leader, w.Server.Addresses)
	return nil
}

func leaderFound(t *testing.T, w *world.World) {
	first, err := w.Pool.Leader(t.Context())
	world.Must(t, err)
	if !slices.Contains(w.Server.Addresses, first) {
		t.Errorf("%s leads, which is none of %v", first, w.Server.Addresses)
	}
	for _, address := range w.Server.Addresses { // whichever node is asked first
		o := w.Options()
		o.Address, o.SeedAddresses = address, w.Server.Addresses
		p := world.NewPool(t, o)
		_, err := p.WriteEvents(t.Context(), w.Key(), []msg.Event{world.Event(1, "x")}, w.Client, pool.WriteOptions{})
		world.Must(t, err)
	}
}

// A follower refuses before it looks at what it is asked.
func followerRefuses(t *testing.T, w *world.World) {
	f, key := follower(t, w), w.Key()
	named := func(err error, code msg.Code) {
		t.Helper()
		if leader := world.Refused(t, err, code).LeaderAddress; leader.Set && !slices.Contains(w.Server.Addresses, leader.Value) {
			t.Errorf("%v names %v", code, leader)
		}
		if !errors.Is(err, msg.ErrNotLeader) || msg.Ambiguous(err) {
			t.Errorf("%v: not leader %v, ambiguous %v", err, errors.Is(err, msg.ErrNotLeader), msg.Ambiguous(err))
		}
	}
	_, err := f.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, "x")}, w.Client, pool.WriteOptions{})
	named(err, msg.CodeWriteNotLeader)
	_, err = f.WriteEvents(t.Context(), key, nil, w.Client, pool.WriteOptions{})
	named(err, msg.CodeWriteNotLeader)
	named(f.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: 9, ClientID: w.Client}), msg.CodeTrimNotLeader)
	named(f.Delete(t.Context(), &msg.DeleteRequest{ClientID: w.Client, Deletes: []msg.AggregateDelete{{Key: key}}}), msg.CodeDeleteNotLeader)
	named(f.RegisterSchema(t.Context(), &msg.RegisterSchemaRequest{ClientID: w.Client, Key: msg.SchemaKey{Org: w.Org}, SchemaType: 9}), msg.CodeSchemaNotLeader)
	_, err = f.Write(t.Context(), &msg.WriteRequest{ClientID: w.Client})
	world.Refused(t, err, msg.CodeRouting) // routing precedes even that
}

func followerShows(t *testing.T, w *world.World) {
	f, key := follower(t, w), w.Grown(t, 5)
	w.Trim(t, key, 2)
	gone := w.Grown(t, 1)
	w.Delete(t, msg.AggregateDelete{Key: gone, AllowRecreate: true})
	want, wantGone := w.Details(t, key), w.Details(t, gone)
	world.Eventually(t, "the follower's details", func() bool {
		got, err := f.Details(t.Context(), key)
		if err != nil {
			return false
		}
		gotGone, err := f.Details(t.Context(), gone)
		if err != nil {
			return false
		}
		got.CorrelationID, gotGone.CorrelationID = want.CorrelationID, wantGone.CorrelationID
		return *got == *want && *gotGone == *wantGone
	})
	page, err := f.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 2}})
	world.Must(t, err)
	if got := world.Values(page.Batches); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
		t.Errorf("the follower shows %q", got)
	}
}

// A follower can be asked for each change that it notifies.
func followerNotifies(t *testing.T, w *world.World) {
	f, key := follower(t, w), w.Key()
	watch, err := f.Watch(t.Context(), &msg.WatchRequest{Aggregates: []msg.ID{key.Aggregate}, Types: []msg.ID{key.Type}, Orgs: []msg.ID{key.Org}})
	world.Must(t, err)
	defer watch.Close()
	for want := range uint64(5) {
		w.Write(t, key, "x")
		for told := uint64(0); told < want+1; {
			frame, err := watch.Next(t.Context())
			world.Must(t, err)
			for _, n := range frame {
				if n.Operation == msg.OpWrite {
					told = n.To.Value
				}
			}
		}
		page, err := f.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: want + 1}})
		world.Must(t, err)
		world.Same(t, "batches", len(page.Batches), 1)
	}
}
