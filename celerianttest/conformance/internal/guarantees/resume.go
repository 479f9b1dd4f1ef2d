package guarantees

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// The cases about resuming: G5 to G9.

var resumeRules = []world.Rule{
	{Name: "by_another_process", Check: resumedElsewhere},
	{Name: "in_the_other_version_of_the_protocol", Check: resumedInOtherVersion},
	{Name: "aggregate_by_aggregate", Check: resumedByAggregate},
	{Name: "from_now", Check: fromNow},
	{Name: "members_come_and_go", Check: membersComeAndGo},
	{Name: "members_that_come_start_now", Check: membersStartNow},
}

var verifiedRules = []world.Rule{
	{Name: "recreated_while_away", Check: recreatedWhileAway},
	{Name: "recreated_while_connected", Check: recreatedWhileConnected},
	{Name: "deleted_while_away", Check: deletedWhileAway},
	{Name: "continued_from_the_start", Check: continuedFromTheStart},
	{Name: "continued_only", Check: continuedOnly},
	{Name: "nothing_happened", Check: nothingHappened},
}

var bookmarkRules = []world.Rule{
	{Name: "caught_up_after_everything", Check: caughtUpAfterEverything},
	{Name: "filters_that_match_nothing", Check: filtersThatMatchNothing},
	{Name: "an_empty_scope_is_caught_up", Check: emptyScope},
}

var phantomRules = []world.Rule{{Name: "refused_writes_are_not_delivered", Check: refusedWrites}}

var discoveryRules = []world.Rule{
	{Name: "written_while_disconnected", Check: writtenWhileDisconnected},
	{Name: "written_while_a_shared_source_is_disconnected", Check: writtenWhileSharedIsDisconnected},
	{Name: "of_all_shards", Check: allShards},
	{Name: "nothing_out_of_scope", Check: outOfScope},
}

// half delivers and stores the first two batches of an aggregate of four.
func half(t *testing.T, w *world.World, s world.Session, o stream.Options) msg.Key {
	t.Helper()
	key := w.Grown(t, 4)
	sub := s.Open(t, stream.Aggregates(key), o)
	ctx := t.Context()
	for n := 0; n < 2; {
		changes, err := sub.Next(ctx)
		world.Must(t, err)
		changes = changes[:min(len(changes), 2-n)]
		n += len(changes)
		world.Must(t, sub.Commit(ctx, stream.Entries(changes)))
	}
	world.Closed(t, sub)
	return key
}

func resumedElsewhere(t *testing.T, w *world.World) {
	folder := t.TempDir()
	open := func() checkpoint.Store {
		store, err := checkpoint.OpenFile(t.Context(), folder, checkpoint.FileOptions{})
		world.Must(t, err)
		return store
	}
	store := open()
	key := half(t, w, w.Session(t), stream.Options{Store: store, Name: "s"})
	world.Must(t, store.Close())
	w.Write(t, key, "5")
	store = open()
	sub := w.Session(t).Open(t, stream.Aggregates(key), stream.Options{Store: store, Name: "s"})
	world.WantTold(t, "resumed", world.Take(t, sub, world.CaughtUp), "3", "4", "5")
	world.Closed(t, sub)
	world.Must(t, store.Close())
}

func resumedInOtherVersion(t *testing.T, w *world.World) {
	o := stream.Options{Store: checkpoint.NewMemory()}
	key := half(t, w, w.Session(t), o)
	other := *w
	other.Version = 5 - w.Version
	world.WantTold(t, "resumed", world.Take(t, other.Session(t).Open(t, stream.Aggregates(key), o), world.CaughtUp), "3", "4")
}

// Each aggregate continues where it was, not where others are.
func resumedByAggregate(t *testing.T, w *world.World) {
	o := stream.Options{Store: checkpoint.NewMemory()}
	s := w.Session(t)
	keys := []msg.Key{w.Grown(t, 1), w.Grown(t, 2), w.Grown(t, 3)}
	sub := s.Open(t, w.Types(), o)
	world.Take(t, sub, world.CaughtUp)
	world.Closed(t, sub)
	keys = append(keys, w.Grown(t, 2))
	for i, key := range keys[:3] {
		for range i {
			w.Write(t, key, "new")
		}
	}
	got := world.ByKey(world.Take(t, s.Open(t, w.Types(), o), world.CaughtUp))
	world.WantTold(t, "nothing new", got[keys[0]])
	world.WantTold(t, "one new", got[keys[1]], "new")
	world.WantTold(t, "two new", got[keys[2]], "new", "new")
	world.WantTold(t, "a new aggregate", got[keys[3]], "1", "2")
}

// A start from now leaves out what was there, and nothing that came later.
func fromNow(t *testing.T, w *world.World) {
	o, s := stream.Options{Store: checkpoint.NewMemory(), Start: stream.FromNow}, w.Session(t)
	old := w.Grown(t, 3)
	sub := s.Open(t, w.Types(), o)
	world.WantTold(t, "at first", world.Take(t, sub, world.CaughtUp))
	w.Write(t, old, "4")
	world.WantTold(t, "then", world.Take(t, sub, world.Showing("4")), "4")
	world.Closed(t, sub)
	w.Write(t, old, "5")
	w.Write(t, w.Key(), "new")
	world.Same(t, "resumed with", len(world.Take(t, s.Open(t, w.Types(), o), world.CaughtUp)), 3)
}

// lives are the ways in which an aggregate can come back, seen from a cursor at
// its head.
var lives = []struct {
	name      string
	old, next int
	continues bool
}{
	{"fresh, head below the cursor", 3, 1, false},
	{"fresh, head at the cursor", 1, 1, false},
	{"fresh, head above the cursor", 3, 3, false},
	{"continuing, head above the cursor", 3, 2, true},
}

// recreate deletes the aggregate, writes it anew, and returns what its present
// life holds, as it is delivered after an announcement.
func recreate(t *testing.T, w *world.World, key msg.Key, continues bool, next int) []string {
	t.Helper()
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: continues})
	for i := range next {
		w.Write(t, key, fmt.Sprint("new ", i+1))
	}
	return world.Values(w.All(t, key))
}

// announcedOnce demands one Reset or Deleted first, and then the life. A
// continuation of which the consumer saw only the end is the same log as
// before: then what is new in it comes, unannounced.
func announcedOnce(t *testing.T, changes []stream.Change, life []string, continues bool, next int) {
	t.Helper()
	got := world.Tell(changes)
	if continues && slices.Equal(got, life[len(life)-next:]) {
		return
	}
	if len(got) == 0 || got[0] != "reset" && got[0] != "deleted" || !slices.Equal(got[1:], life) {
		t.Errorf("got %q, want a reset or deleted, once, and then %q", got, life)
	}
}

func recreatedWhileAway(t *testing.T, w *world.World) {
	for _, c := range lives {
		t.Run(c.name, func(t *testing.T) {
			key, o, s := w.Grown(t, c.old), stream.Options{Store: checkpoint.NewMemory()}, w.Session(t)
			sub := s.Open(t, stream.Aggregates(key), o)
			world.Take(t, sub, world.CaughtUp)
			world.Closed(t, sub)
			life := recreate(t, w, key, c.continues, c.next)
			announcedOnce(t, world.Take(t, s.Open(t, stream.Aggregates(key), o), world.CaughtUp), life, c.continues, c.next)
		})
	}
}

func recreatedWhileConnected(t *testing.T, w *world.World) {
	for _, latency := range []time.Duration{0, 200 * time.Millisecond} {
		for _, c := range lives {
			t.Run(fmt.Sprintf("%s, latency %v", c.name, latency), func(t *testing.T) {
				key := w.Grown(t, c.old)
				sub := w.Session(t).Open(t, stream.Aggregates(key), stream.Options{Latency: latency})
				world.Take(t, sub, world.CaughtUp)
				life := recreate(t, w, key, c.continues, c.next)
				announcedOnce(t, world.Take(t, sub, world.Showing(life[len(life)-1])), life, c.continues, c.next)
			})
		}
	}
}

func deletedWhileAway(t *testing.T, w *world.World) {
	key, o, s := w.Grown(t, 3), stream.Options{Store: checkpoint.NewMemory()}, w.Session(t)
	sub := s.Open(t, stream.Aggregates(key), o)
	world.Take(t, sub, world.CaughtUp)
	world.Closed(t, sub)
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true})
	sub = s.Open(t, stream.Aggregates(key), o)
	world.WantTold(t, "resumed", world.Take(t, sub, world.CaughtUp), "deleted")
	world.Closed(t, sub)
	sub = s.Open(t, stream.Aggregates(key), o)
	world.WantTold(t, "resumed again", world.Take(t, sub, world.CaughtUp))
	w.Write(t, key, "new")
	world.WantTold(t, "written again", world.Take(t, sub, world.Showing("new")), "new")
}

// A continuation of which the consumer saw the beginning comes from the start:
// what was built of the aggregate is void.
func continuedFromTheStart(t *testing.T, w *world.World) {
	key := w.Grown(t, 3)
	sub := w.Session(t).Open(t, w.Types(), stream.Options{})
	world.Take(t, sub, world.CaughtUp)
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: true})
	world.WantTold(t, "deleted", world.Take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Deleted }), "deleted")
	w.Write(t, key, "4")
	world.WantTold(t, "continued", world.Take(t, sub, world.Showing("4")), "1", "2", "3", "4")
}

func continuedOnly(t *testing.T, w *world.World) {
	key := w.Grown(t, 3)
	sub := w.Session(t).Open(t, w.Types(), stream.Options{Continuation: stream.ContinueOnly})
	world.Take(t, sub, world.CaughtUp)
	w.Delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: true})
	world.WantTold(t, "deleted", world.Take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Deleted }), "deleted")
	w.Write(t, key, "4")
	world.WantTold(t, "continued", world.Take(t, sub, world.Showing("4")), "4")
}

// No reset, nothing at all, for a consumer that missed nothing.
func nothingHappened(t *testing.T, w *world.World) {
	o, s := stream.Options{Store: checkpoint.NewMemory()}, w.Session(t)
	w.Grown(t, 1)
	w.Grown(t, 5)
	w.Delete(t, msg.AggregateDelete{Key: w.Grown(t, 2), AllowRecreate: true})
	recreate(t, w, w.Grown(t, 2), false, 2)
	recreate(t, w, w.Grown(t, 2), true, 2)
	for i := range 3 {
		sub := s.Open(t, w.Types(), o)
		got := world.Take(t, sub, world.CaughtUp)
		if i > 0 {
			world.WantTold(t, "resumed without a reason", got)
		}
		world.Closed(t, sub)
	}
}

func caughtUpAfterEverything(t *testing.T, w *world.World) {
	const keys, each = 25, 4
	for range keys {
		w.Grown(t, each)
	}
	sub := w.Session(t).Open(t, w.Types(), stream.Options{Buffer: 500})
	got := world.Take(t, sub, world.CaughtUp)
	world.Same(t, "changes", len(got), keys*each+1)
	world.Same(t, "the last one", got[len(got)-1].Kind, stream.CaughtUp)
	for _, changes := range world.ByKey(got) {
		world.WantTold(t, "delivered", changes, "1", "2", "3", "4")
	}
}

func emptyScope(t *testing.T, w *world.World) {
	sub := w.Session(t).Open(t, w.Types(), stream.Options{})
	world.Same(t, "changes", len(world.Take(t, sub, world.CaughtUp)), 1)
	w.Write(t, w.Key(), "first")
	world.WantTold(t, "then", world.Take(t, sub, world.Showing("first")), "first")
}

func filtersThatMatchNothing(t *testing.T, w *world.World) {
	o, s := stream.Options{Store: checkpoint.NewMemory()}, w.Session(t)
	w.Grown(t, 3)
	w.Grown(t, 2)
	sub := s.Open(t, w.Types(), o)
	none := operators.Filter(operators.Changes(sub), func(stream.Change) bool { return false })
	for caught := false; !caught; {
		slice, err := none.Next(t.Context())
		world.Must(t, err)
		world.Same(t, "items", len(slice.Items), 0)
		world.Must(t, sub.Commit(t.Context(), slice.Entries()))
		caught = slices.ContainsFunc(slice.Marks, func(m operators.Mark) bool { return m.Kind == stream.CaughtUp })
	}
	world.Closed(t, sub)
	world.WantTold(t, "resumed", world.Take(t, s.Open(t, w.Types(), o), world.CaughtUp))
}

func refusedWrites(t *testing.T, w *world.World) {
	key := w.Grown(t, 1)
	sub := w.Session(t).Open(t, w.Types(), stream.Options{})
	world.Take(t, sub, world.CaughtUp)
	for range 5 {
		_, err := w.Pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.Client, Writes: []msg.AggregateWrite{
			{Key: key, Events: []msg.Event{world.Event(2, "refused")}, ExpectedVersion: msg.Some[uint64](9), DenyCreate: true},
		}})
		world.Refused(t, err, msg.CodeVersionConflict)
		err = w.Remove(t, msg.AggregateDelete{Key: key, ExpectedVersion: msg.Some[uint64](9)})
		world.Refused(t, err, msg.CodeDeleteConflict)
	}
	w.Write(t, key, "2")
	world.WantTold(t, "delivered", world.Take(t, sub, world.Showing("2")), "2")
}

func writtenWhileDisconnected(t *testing.T, w *world.World) {
	old, s := w.Grown(t, 1), w.Session(t)
	sub := s.Open(t, w.Types(), stream.Options{})
	world.Take(t, sub, world.CaughtUp)
	s.Proxy.Down.Store(true)
	if s.Proxy.Cut(nil) == 0 {
		t.Error("nothing was cut")
	}
	const fresh = 30
	for range fresh {
		w.Grown(t, 2)
	}
	w.Delete(t, msg.AggregateDelete{Key: old})
	s.Proxy.Down.Store(false)
	got := world.ByKey(world.Take(t, sub, world.CaughtUp))
	world.Same(t, "aggregates", len(got), fresh+1)
	world.WantTold(t, "the old one", got[old], "deleted")
	delete(got, old)
	for _, changes := range got {
		world.WantTold(t, "a new one", changes, "1", "2")
	}
}

func allShards(t *testing.T, w *world.World) {
	sub := w.Session(t).Open(t, stream.Orgs(w.Org), stream.Options{})
	before := []msg.Key{}
	for range 8 * w.Shards {
		before = append(before, w.Grown(t, 1))
	}
	for range before {
		key := w.Key()
		key.Type = world.RandomID()
		w.Write(t, key, "1")
		before = append(before, key)
	}
	left := len(before)
	world.Take(t, sub, func(c stream.Change) bool {
		if c.Kind == stream.Batch {
			left--
		}
		return left == 0
	})
}

func outOfScope(t *testing.T, w *world.World) {
	key, other := w.Key(), w.Key()
	other.Type = world.RandomID()
	foreign := key
	foreign.Org = world.RandomID()
	sub := w.Session(t).Open(t, w.Types(), stream.Options{})
	for _, k := range []msg.Key{other, foreign, key, other, foreign} {
		w.Write(t, k, "x")
	}
	w.Write(t, key, "last")
	world.WantTold(t, "delivered", world.Take(t, sub, world.Showing("last")), "x", "last")
}
