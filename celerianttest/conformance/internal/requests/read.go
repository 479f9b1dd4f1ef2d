package requests

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var readRules = []world.Rule{
	{Name: "ranges", Check: readRanges},
	{Name: "missing", Check: readMissing},
	{Name: "filters_by_batch", Check: batchFilters},
	{Name: "filters_by_event", Check: eventFilters},
	{Name: "read_all", Check: readAll},
	{Name: "read_all_of_the_present_life", Check: readAllPresentLife},
	{Name: "read_your_writes", Check: readYourWrites},
}

func readRanges(t *testing.T, w *world.World) {
	key := w.Key()
	for i := range 5 {
		w.Write(t, key, fmt.Sprint(i+1))
	}
	for _, c := range []struct {
		from uint64
		to   msg.Opt[uint64]
		want []uint64
	}{
		{1, msg.None[uint64](), []uint64{1, 2, 3, 4, 5}},
		{0, msg.None[uint64](), []uint64{1, 2, 3, 4, 5}}, // the pool sends 1
		{3, msg.None[uint64](), []uint64{3, 4, 5}},
		{2, msg.Some[uint64](4), []uint64{2, 3, 4}},
		{4, msg.Some[uint64](4), []uint64{4}},
		{4, msg.Some[uint64](100), []uint64{4, 5}},
		{4, msg.Some[uint64](3), nil},
		{1, msg.Some[uint64](0), nil},
		{6, msg.None[uint64](), nil},
		{1 << 40, msg.None[uint64](), nil},
	} {
		page := w.Read(t, key, msg.ReadFilters{From: c.from, To: c.to})
		if got := world.Versions(page.Batches); !slices.Equal(got, c.want) || page.NextVersion.Set {
			t.Errorf("%d to %v: got %v, next %v, want %v", c.from, c.to, got, page.NextVersion, c.want)
		}
	}
}

func readMissing(t *testing.T, w *world.World) {
	for _, from := range []uint64{1, 5} {
		_, err := w.Pool.Read(t.Context(), &msg.ReadRequest{Key: w.Key(), Filters: msg.ReadFilters{From: from}})
		world.Refused(t, err, msg.CodeReadNotFound)
		if !errors.Is(err, msg.ErrNotFound) || msg.SafeToRetry(err) {
			t.Errorf("%v: not found is %v, safe to retry is %v", err, errors.Is(err, msg.ErrNotFound), msg.SafeToRetry(err))
		}
	}
	for _, err := range w.Pool.ReadAll(t.Context(), w.Key(), msg.ReadFilters{}) {
		world.Refused(t, err, msg.CodeReadNotFound)
	}
}

// filtered are five batches of two clients and two users, one of no user.
func filtered(t *testing.T, w *world.World) (key msg.Key, clients, users [2]msg.ID) {
	key, clients, users = w.Key(), [2]msg.ID{w.Client, world.RandomID()}, [2]msg.ID{world.RandomID(), world.RandomID()}
	for i := range uint64(5) {
		o := pool.WriteOptions{UserID: msg.Some(users[i%2])}
		if i == 4 {
			o.UserID = msg.None[msg.ID]()
		}
		_, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{
			{ClientSeq: 10 * (i + 1), Major: 1, Minor: 7, Timestamp: 100 * (i + 1), Value: []byte("a")},
			{ClientSeq: 10*(i+1) + 1, Major: i + 2, Timestamp: 100*(i+1) + 1, Value: []byte("b")},
		}, clients[i/3], o)
		world.Must(t, err)
	}
	return key, clients, users
}

func batchFilters(t *testing.T, w *world.World) {
	key, clients, users := filtered(t, w)
	stamp := w.Read(t, key, msg.ReadFilters{From: 1}).Batches
	for name, c := range map[string]struct {
		f    msg.ReadFilters
		want []uint64
	}{
		"include client":         {msg.ReadFilters{From: 1, IncludeClientID: msg.Some(clients[1])}, []uint64{4, 5}},
		"exclude client":         {msg.ReadFilters{From: 1, ExcludeClientID: msg.Some(clients[1])}, []uint64{1, 2, 3}},
		"include user":           {msg.ReadFilters{From: 1, IncludeUserID: msg.Some(users[0])}, []uint64{1, 3}},
		"exclude user":           {msg.ReadFilters{From: 1, ExcludeUserID: msg.Some(users[0])}, []uint64{2, 4, 5}},
		"client and user":        {msg.ReadFilters{From: 1, IncludeClientID: msg.Some(clients[0]), IncludeUserID: msg.Some(users[1])}, []uint64{2}},
		"client and range":       {msg.ReadFilters{From: 2, To: msg.Some[uint64](4), IncludeClientID: msg.Some(clients[0])}, []uint64{2, 3}},
		"from a time, inclusive": {msg.ReadFilters{From: 1, MinServerTimestamp: msg.Some(stamp[4].ServerTimestamp + 1)}, nil},
		"to a time, inclusive":   {msg.ReadFilters{From: 1, MaxServerTimestamp: msg.Some(stamp[4].ServerTimestamp)}, []uint64{1, 2, 3, 4, 5}},
		"up to before":           {msg.ReadFilters{From: 1, MaxServerTimestamp: msg.Some(stamp[0].ServerTimestamp - 1)}, nil},
		"unknown client":         {msg.ReadFilters{From: 1, IncludeClientID: msg.Some(world.RandomID())}, nil},
	} {
		if got := world.Versions(w.Read(t, key, c.f).Batches); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// Filters on events leave events out, and batches of which none is left.
func eventFilters(t *testing.T, w *world.World) {
	key, _, _ := filtered(t, w)
	some := msg.Some[uint64]
	for name, c := range map[string]struct {
		f    msg.ReadFilters
		want []string
	}{
		"type, whatever its minor": {msg.ReadFilters{From: 1, EventTypes: []uint64{1}}, []string{"1:a", "2:a", "3:a", "4:a", "5:a"}},
		"types":                    {msg.ReadFilters{From: 1, EventTypes: []uint64{3, 5}}, []string{"2:b", "4:b"}},
		"no type":                  {msg.ReadFilters{From: 4, EventTypes: []uint64{}}, []string{"4:a", "4:b", "5:a", "5:b"}},
		"client seq":               {msg.ReadFilters{From: 1, MinClientSeq: some(21), MaxClientSeq: some(40)}, []string{"2:b", "3:a", "3:b", "4:a"}},
		"event timestamp":          {msg.ReadFilters{From: 1, MinEventTimestamp: some(401), MaxEventTimestamp: some(501)}, []string{"4:b", "5:a", "5:b"}},
		"event seq":                {msg.ReadFilters{From: 1, MinEventSeq: some(2), MaxEventSeq: some(3)}, []string{"1:b", "2:a"}},
		"type and seq":             {msg.ReadFilters{From: 1, EventTypes: []uint64{1}, MinEventSeq: some(4)}, []string{"3:a", "4:a", "5:a"}},
		"unknown type":             {msg.ReadFilters{From: 1, EventTypes: []uint64{99}}, nil},
	} {
		var got []string
		for _, b := range w.Read(t, key, c.f).Batches {
			for _, e := range b.Events {
				got = append(got, fmt.Sprintf("%d:%s", b.Version, e.Value))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func readAll(t *testing.T, w *world.World) {
	o := w.Options()
	o.PageBytes = 4 << 10
	small := world.NewPool(t, o)
	key := w.Key()
	const batches = 40
	value := make([]byte, 500)
	for range batches {
		w.Write(t, key, string(value), string(value))
	}
	var got []uint64
	for b, err := range small.ReadAll(t.Context(), key, msg.ReadFilters{}) {
		world.Must(t, err)
		world.Same(t, "events", len(b.Events), 2)
		got = append(got, b.Version)
	}
	world.Same(t, "batches", len(got), batches)
	for i, v := range got {
		world.Same(t, "version", v, uint64(i+1))
	}
	got = nil
	for b, err := range small.ReadAll(t.Context(), key, msg.ReadFilters{From: 7, To: msg.Some[uint64](33)}) {
		world.Must(t, err)
		got = append(got, b.Version)
	}
	if len(got) != 27 || got[0] != 7 || got[26] != 33 {
		t.Errorf("7 to 33 gave %v", got)
	}
	w.Trim(t, key, 5)
	for _, err := range small.ReadAll(t.Context(), key, msg.ReadFilters{}) {
		f := world.Refused(t, err, msg.CodeVersionUnavailable)
		world.Same(t, "minimum", f.MinimumAvailable, msg.Some[uint64](5))
	}
}

// readAllPresentLife demands that ReadAll shows the present life, even if a node still
// shows earlier ones.
func readAllPresentLife(t *testing.T, w *world.World) {
	key := w.Key()
	for _, v := range []string{"a1", "a2", "a3"} {
		w.Write(t, key, v)
	}
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true})
	w.Write(t, key, "b1")
	w.Write(t, key, "b2")
	if got := world.Values(w.All(t, key)); !slices.Equal(got, []string{"b1", "b2"}) {
		t.Errorf("after a fresh recreation: %q", got)
	}
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: true})
	w.Write(t, key, "b3")
	if got := world.Values(w.All(t, key)); !slices.Equal(got, []string{"b1", "b2", "b3"}) {
		t.Errorf("after a continuation in the second life: %q", got)
	}
}

func readYourWrites(t *testing.T, w *world.World) {
	o := w.Options()
	o.RouteReadsToFollowers = true
	followers := world.NewPool(t, o)
	key := w.Key()
	for range 10 {
		version := w.Write(t, key, "x")
		page, err := followers.ReadMin(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: version}}, version)
		world.Must(t, err)
		if got := world.Versions(page.Batches); !slices.Equal(got, []uint64{version}) {
			t.Errorf("after writing %d read %v", version, got)
		}
	}
	_, err := followers.ReadMin(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}}, 11)
	var behind *pool.BehindError
	if !errors.As(err, &behind) || behind.Newest != 10 {
		t.Errorf("a version nobody wrote gave %v", err)
	}
}
