package conformance

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func aPair(w *world) bool { return w.target.pair() }

var leaderRules = []rule{
	{name: "leader_is_found", check: leaderFound, needs: aPair},
	{name: "follower_refuses_changes", check: followerRefuses, needs: aPair},
	{name: "follower_comes_to_show_the_same", check: followerShows, needs: aPair},
	{name: "follower_notifies", check: followerNotifies, needs: aPair},
}

// follower returns the pool bound to a node that does not lead.
func (w *world) follower(t *testing.T) *pool.View {
	t.Helper()
	leader, err := w.pool.Leader(t.Context())
	done(t, err)
	for _, address := range w.target.Addresses {
		if address != leader {
			view, err := w.pool.At(address)
			done(t, err)
			return view
		}
	}
	t.Fatalf("%s leads, and there is no other node in %v", leader, w.target.Addresses)
	return nil
}

func leaderFound(t *testing.T, w *world) {
	first, err := w.pool.Leader(t.Context())
	done(t, err)
	if !slices.Contains(w.target.Addresses, first) {
		t.Errorf("%s leads, which is none of %v", first, w.target.Addresses)
	}
	for _, address := range w.target.Addresses { // whichever node is asked first
		o := w.options()
		o.Address, o.SeedAddresses = address, w.target.Addresses
		p := newPool(t, o)
		_, err := p.WriteEvents(t.Context(), w.key(), []msg.Event{event(1, "x")}, w.client, pool.WriteOptions{})
		done(t, err)
	}
}

// A follower refuses before it looks at what it is asked.
func followerRefuses(t *testing.T, w *world) {
	f, key := w.follower(t), w.key()
	named := func(err error, code msg.Code) {
		t.Helper()
		if leader := refused(t, err, code).LeaderAddress; leader.Set && !slices.Contains(w.target.Addresses, leader.Value) {
			t.Errorf("%v names %v", code, leader)
		}
		if !errors.Is(err, msg.ErrNotLeader) || msg.Ambiguous(err) {
			t.Errorf("%v: not leader %v, ambiguous %v", err, errors.Is(err, msg.ErrNotLeader), msg.Ambiguous(err))
		}
	}
	_, err := f.WriteEvents(t.Context(), key, []msg.Event{event(1, "x")}, w.client, pool.WriteOptions{})
	named(err, msg.CodeWriteNotLeader)
	_, err = f.WriteEvents(t.Context(), key, nil, w.client, pool.WriteOptions{})
	named(err, msg.CodeWriteNotLeader)
	named(f.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: 9, ClientID: w.client}), msg.CodeTrimNotLeader)
	named(f.Delete(t.Context(), &msg.DeleteRequest{ClientID: w.client, Deletes: []msg.AggregateDelete{{Key: key}}}), msg.CodeDeleteNotLeader)
	named(f.RegisterSchema(t.Context(), &msg.RegisterSchemaRequest{ClientID: w.client, Key: msg.SchemaKey{Org: w.org}, SchemaType: 9}), msg.CodeSchemaNotLeader)
	_, err = f.Write(t.Context(), &msg.WriteRequest{ClientID: w.client})
	refused(t, err, msg.CodeRouting) // routing precedes even that
}

func followerShows(t *testing.T, w *world) {
	f, key := w.follower(t), w.grown(t, 5)
	w.trim(t, key, 2)
	gone := w.grown(t, 1)
	w.delete(t, msg.AggregateDelete{Key: gone, AllowRecreate: true})
	want, wantGone := w.details(t, key), w.details(t, gone)
	eventually(t, "the follower's details", func() bool {
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
	done(t, err)
	if got := values(page.Batches); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
		t.Errorf("the follower shows %q", got)
	}
}

// What a follower notifies it can be asked for.
func followerNotifies(t *testing.T, w *world) {
	f, key := w.follower(t), w.key()
	watch, err := f.Watch(t.Context(), &msg.WatchRequest{Aggregates: []msg.ID{key.Aggregate}, Types: []msg.ID{key.Type}, Orgs: []msg.ID{key.Org}})
	done(t, err)
	defer watch.Close()
	for want := range uint64(5) {
		w.write(t, key, "x")
		for told := uint64(0); told < want+1; {
			frame, err := watch.Next(t.Context())
			done(t, err)
			for _, n := range frame {
				if n.Operation == msg.OpWrite {
					told = n.To.Value
				}
			}
		}
		page, err := f.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: want + 1}})
		done(t, err)
		same(t, "batches", len(page.Batches), 1)
	}
}

// eventually asks again until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after 30 s", what)
		}
	}
}
