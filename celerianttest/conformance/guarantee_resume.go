package conformance

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// What the guarantees say about coming back: G5 to G9.

var resumeRules = []rule{
	{name: "by_another_process", check: resumedElsewhere},
	{name: "in_the_other_version_of_the_protocol", check: resumedInOtherVersion},
	{name: "aggregate_by_aggregate", check: resumedByAggregate},
	{name: "from_now", check: fromNow},
	{name: "members_come_and_go", check: membersComeAndGo},
	{name: "members_that_come_start_now", check: membersStartNow},
}

var verifiedRules = []rule{
	{name: "recreated_while_away", check: recreatedWhileAway},
	{name: "recreated_while_connected", check: recreatedWhileConnected},
	{name: "deleted_while_away", check: deletedWhileAway},
	{name: "continued_from_the_start", check: continuedFromTheStart},
	{name: "continued_only", check: continuedOnly},
	{name: "nothing_happened", check: nothingHappened},
}

var bookmarkRules = []rule{
	{name: "caught_up_after_everything", check: caughtUpAfterEverything},
	{name: "filters_that_match_nothing", check: filtersThatMatchNothing},
	{name: "an_empty_scope_is_caught_up", check: emptyScope},
}

var phantomRules = []rule{{name: "refused_writes_are_not_delivered", check: refusedWrites}}

var discoveryRules = []rule{
	{name: "written_while_disconnected", check: writtenWhileDisconnected},
	{name: "written_while_a_shared_source_is_disconnected", check: writtenWhileSharedIsDisconnected},
	{name: "of_all_shards", check: allShards},
	{name: "nothing_out_of_scope", check: outOfScope},
}

// half delivers and stores the first two batches of an aggregate of four.
func half(t *testing.T, w *world, s session, o stream.Options) msg.Key {
	t.Helper()
	key := w.grown(t, 4)
	sub := s.open(t, stream.Aggregates(key), o)
	ctx := t.Context()
	for n := 0; n < 2; {
		changes, err := sub.Next(ctx)
		done(t, err)
		changes = changes[:min(len(changes), 2-n)]
		n += len(changes)
		done(t, sub.Commit(ctx, stream.Entries(changes)))
	}
	closed(t, sub)
	return key
}

func resumedElsewhere(t *testing.T, w *world) {
	folder := t.TempDir()
	open := func() checkpoint.Store {
		store, err := checkpoint.OpenFile(t.Context(), folder, checkpoint.FileOptions{})
		done(t, err)
		return store
	}
	store := open()
	key := half(t, w, w.session(t), stream.Options{Store: store, Name: "s"})
	done(t, store.Close())
	w.write(t, key, "5")
	store = open()
	sub := w.session(t).open(t, stream.Aggregates(key), stream.Options{Store: store, Name: "s"})
	wantTold(t, "resumed", take(t, sub, caughtUp), "3", "4", "5")
	closed(t, sub)
	done(t, store.Close())
}

func resumedInOtherVersion(t *testing.T, w *world) {
	o := stream.Options{Store: checkpoint.NewMemory()}
	key := half(t, w, w.session(t), o)
	other := *w
	other.version = 5 - w.version
	wantTold(t, "resumed", take(t, other.session(t).open(t, stream.Aggregates(key), o), caughtUp), "3", "4")
}

// Each aggregate continues where it was, not where others are.
func resumedByAggregate(t *testing.T, w *world) {
	o := stream.Options{Store: checkpoint.NewMemory()}
	s := w.session(t)
	keys := []msg.Key{w.grown(t, 1), w.grown(t, 2), w.grown(t, 3)}
	sub := s.open(t, w.types(), o)
	take(t, sub, caughtUp)
	closed(t, sub)
	keys = append(keys, w.grown(t, 2))
	for i, key := range keys[:3] {
		for range i {
			w.write(t, key, "new")
		}
	}
	got := byKey(take(t, s.open(t, w.types(), o), caughtUp))
	wantTold(t, "nothing new", got[keys[0]])
	wantTold(t, "one new", got[keys[1]], "new")
	wantTold(t, "two new", got[keys[2]], "new", "new")
	wantTold(t, "a new aggregate", got[keys[3]], "1", "2")
}

// A start from now leaves out what was there, and nothing that came later.
func fromNow(t *testing.T, w *world) {
	o, s := stream.Options{Store: checkpoint.NewMemory(), Start: stream.FromNow}, w.session(t)
	old := w.grown(t, 3)
	sub := s.open(t, w.types(), o)
	wantTold(t, "at first", take(t, sub, caughtUp))
	w.write(t, old, "4")
	wantTold(t, "then", take(t, sub, showing("4")), "4")
	closed(t, sub)
	w.write(t, old, "5")
	w.write(t, w.key(), "new")
	same(t, "resumed with", len(take(t, s.open(t, w.types(), o), caughtUp)), 3)
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
func recreate(t *testing.T, w *world, key msg.Key, continues bool, next int) []string {
	t.Helper()
	w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: continues})
	for i := range next {
		w.write(t, key, fmt.Sprint("new ", i+1))
	}
	return values(w.all(t, key))
}

// announcedOnce demands one Reset or Deleted first, and then the life. A
// continuation of which the consumer saw only the end is the same log as
// before: then what is new in it comes, unannounced.
func announcedOnce(t *testing.T, changes []stream.Change, life []string, continues bool, next int) {
	t.Helper()
	got := tell(changes)
	if continues && slices.Equal(got, life[len(life)-next:]) {
		return
	}
	if len(got) == 0 || got[0] != "reset" && got[0] != "deleted" || !slices.Equal(got[1:], life) {
		t.Errorf("got %q, want a reset or deleted, once, and then %q", got, life)
	}
}

func recreatedWhileAway(t *testing.T, w *world) {
	for _, c := range lives {
		t.Run(c.name, func(t *testing.T) {
			key, o, s := w.grown(t, c.old), stream.Options{Store: checkpoint.NewMemory()}, w.session(t)
			sub := s.open(t, stream.Aggregates(key), o)
			take(t, sub, caughtUp)
			closed(t, sub)
			life := recreate(t, w, key, c.continues, c.next)
			announcedOnce(t, take(t, s.open(t, stream.Aggregates(key), o), caughtUp), life, c.continues, c.next)
		})
	}
}

func recreatedWhileConnected(t *testing.T, w *world) {
	for _, latency := range []time.Duration{0, 200 * time.Millisecond} {
		for _, c := range lives {
			t.Run(fmt.Sprintf("%s, latency %v", c.name, latency), func(t *testing.T) {
				key := w.grown(t, c.old)
				sub := w.session(t).open(t, stream.Aggregates(key), stream.Options{Latency: latency})
				take(t, sub, caughtUp)
				life := recreate(t, w, key, c.continues, c.next)
				announcedOnce(t, take(t, sub, showing(life[len(life)-1])), life, c.continues, c.next)
			})
		}
	}
}

func deletedWhileAway(t *testing.T, w *world) {
	key, o, s := w.grown(t, 3), stream.Options{Store: checkpoint.NewMemory()}, w.session(t)
	sub := s.open(t, stream.Aggregates(key), o)
	take(t, sub, caughtUp)
	closed(t, sub)
	w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true})
	sub = s.open(t, stream.Aggregates(key), o)
	wantTold(t, "resumed", take(t, sub, caughtUp), "deleted")
	closed(t, sub)
	sub = s.open(t, stream.Aggregates(key), o)
	wantTold(t, "resumed again", take(t, sub, caughtUp))
	w.write(t, key, "new")
	wantTold(t, "written again", take(t, sub, showing("new")), "new")
}

// A continuation of which the consumer saw the beginning comes from the start:
// what was built of the aggregate is void.
func continuedFromTheStart(t *testing.T, w *world) {
	key := w.grown(t, 3)
	sub := w.session(t).open(t, w.types(), stream.Options{})
	take(t, sub, caughtUp)
	w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: true})
	wantTold(t, "deleted", take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Deleted }), "deleted")
	w.write(t, key, "4")
	wantTold(t, "continued", take(t, sub, showing("4")), "1", "2", "3", "4")
}

func continuedOnly(t *testing.T, w *world) {
	key := w.grown(t, 3)
	sub := w.session(t).open(t, w.types(), stream.Options{Continuation: stream.ContinueOnly})
	take(t, sub, caughtUp)
	w.delete(t, msg.AggregateDelete{Key: key, AllowRecreate: true, AllowSequenceContinuation: true})
	wantTold(t, "deleted", take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Deleted }), "deleted")
	w.write(t, key, "4")
	wantTold(t, "continued", take(t, sub, showing("4")), "4")
}

// No reset, nothing at all, for a consumer that missed nothing.
func nothingHappened(t *testing.T, w *world) {
	o, s := stream.Options{Store: checkpoint.NewMemory()}, w.session(t)
	w.grown(t, 1)
	w.grown(t, 5)
	w.delete(t, msg.AggregateDelete{Key: w.grown(t, 2), AllowRecreate: true})
	recreate(t, w, w.grown(t, 2), false, 2)
	recreate(t, w, w.grown(t, 2), true, 2)
	for i := range 3 {
		sub := s.open(t, w.types(), o)
		got := take(t, sub, caughtUp)
		if i > 0 {
			wantTold(t, "resumed without a reason", got)
		}
		closed(t, sub)
	}
}

func caughtUpAfterEverything(t *testing.T, w *world) {
	const keys, each = 25, 4
	for range keys {
		w.grown(t, each)
	}
	sub := w.session(t).open(t, w.types(), stream.Options{Buffer: 500})
	got := take(t, sub, caughtUp)
	same(t, "changes", len(got), keys*each+1)
	same(t, "the last one", got[len(got)-1].Kind, stream.CaughtUp)
	for _, changes := range byKey(got) {
		wantTold(t, "delivered", changes, "1", "2", "3", "4")
	}
}

func emptyScope(t *testing.T, w *world) {
	sub := w.session(t).open(t, w.types(), stream.Options{})
	same(t, "changes", len(take(t, sub, caughtUp)), 1)
	w.write(t, w.key(), "first")
	wantTold(t, "then", take(t, sub, showing("first")), "first")
}

func filtersThatMatchNothing(t *testing.T, w *world) {
	o, s := stream.Options{Store: checkpoint.NewMemory()}, w.session(t)
	w.grown(t, 3)
	w.grown(t, 2)
	sub := s.open(t, w.types(), o)
	none := operators.Filter(operators.Changes(sub), func(stream.Change) bool { return false })
	for caught := false; !caught; {
		slice, err := none.Next(t.Context())
		done(t, err)
		same(t, "items", len(slice.Items), 0)
		done(t, sub.Commit(t.Context(), slice.Entries()))
		caught = slices.ContainsFunc(slice.Marks, func(m operators.Mark) bool { return m.Kind == stream.CaughtUp })
	}
	closed(t, sub)
	wantTold(t, "resumed", take(t, s.open(t, w.types(), o), caughtUp))
}

func refusedWrites(t *testing.T, w *world) {
	key := w.grown(t, 1)
	sub := w.session(t).open(t, w.types(), stream.Options{})
	take(t, sub, caughtUp)
	for range 5 {
		_, err := w.pool.Write(t.Context(), &msg.WriteRequest{ClientID: w.client, Writes: []msg.AggregateWrite{
			{Key: key, Events: []msg.Event{event(2, "refused")}, ExpectedVersion: msg.Some[uint64](9), DenyCreate: true},
		}})
		refused(t, err, msg.CodeVersionConflict)
		err = w.remove(t, msg.AggregateDelete{Key: key, ExpectedVersion: msg.Some[uint64](9)})
		refused(t, err, msg.CodeDeleteConflict)
	}
	w.write(t, key, "2")
	wantTold(t, "delivered", take(t, sub, showing("2")), "2")
}

func writtenWhileDisconnected(t *testing.T, w *world) {
	old, s := w.grown(t, 1), w.session(t)
	sub := s.open(t, w.types(), stream.Options{})
	take(t, sub, caughtUp)
	s.proxy.down.Store(true)
	if s.proxy.cut(nil) == 0 {
		t.Error("nothing was cut")
	}
	const fresh = 30
	for range fresh {
		w.grown(t, 2)
	}
	w.delete(t, msg.AggregateDelete{Key: old})
	s.proxy.down.Store(false)
	got := byKey(take(t, sub, caughtUp))
	same(t, "aggregates", len(got), fresh+1)
	wantTold(t, "the old one", got[old], "deleted")
	delete(got, old)
	for _, changes := range got {
		wantTold(t, "a new one", changes, "1", "2")
	}
}

func allShards(t *testing.T, w *world) {
	sub := w.session(t).open(t, stream.Orgs(w.org), stream.Options{})
	before := []msg.Key{}
	for range 8 * w.shards {
		before = append(before, w.grown(t, 1))
	}
	for range before {
		key := w.key()
		key.Type = randomID()
		w.write(t, key, "1")
		before = append(before, key)
	}
	left := len(before)
	take(t, sub, func(c stream.Change) bool {
		if c.Kind == stream.Batch {
			left--
		}
		return left == 0
	})
}

func outOfScope(t *testing.T, w *world) {
	key, other := w.key(), w.key()
	other.Type = randomID()
	foreign := key
	foreign.Org = randomID()
	sub := w.session(t).open(t, w.types(), stream.Options{})
	for _, k := range []msg.Key{other, foreign, key, other, foreign} {
		w.write(t, k, "x")
	}
	w.write(t, key, "last")
	wantTold(t, "delivered", take(t, sub, showing("last")), "x", "last")
}
