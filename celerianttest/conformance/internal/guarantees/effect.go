package guarantees

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// The cases about effects: G11 to G13.

var leastOnceRules = []world.Rule{{Name: "failed_changes_come_again", Check: failedChanges}}

var exactlyOnceRules = []world.Rule{
	{Name: "ledger", Check: exactLedger},
	{Name: "deposed_owner", Check: deposedOwner},
}

var poisonRules = []world.Rule{
	{Name: "a_failing_change_is_never_skipped", Check: neverSkipped},
	{Name: "a_slow_consumer_holds_up_nobody_it_shares_with", Check: slowSharer},
	{Name: "an_unreadable_batch_holds_up_nothing_else", Check: unreadableBatch, Needs: func(w *world.World) bool { return w.Server.MaxResponseSize > 0 }},
}

// subscribe makes a session an operators.Source of one scope.
func subscribe(s world.Session, scope stream.Scope, o stream.Options) operators.Source {
	return source(func(ctx context.Context) (stream.Consumer, error) {
		return stream.Open(ctx, stream.FromPool(s.Pool), scope, o)
	})
}

type source func(ctx context.Context) (stream.Consumer, error)

func (s source) Open(ctx context.Context) (stream.Consumer, error) { return s(ctx) }

var errPoison = errors.New("poison")

// stopsAtOnce ends a consumer with the first failure of its handler.
var stopsAtOnce = operators.WithVerdicts(func(operators.Failure) operators.Verdict { return operators.Stop })

// resume takes back that a consumer has stopped.
func resume(t *testing.T, o stream.Options) {
	t.Helper()
	world.Must(t, checkpoint.RequestResume(context.Background(), o.Store.(checkpoint.RecordStore), o.Name))
}

// A handler that fails again and again gets the change it failed on first; what
// it had handled does not come again.
func failedChanges(t *testing.T, w *world.World) {
	key, s := w.Key(), w.Session(t)
	const last = 40
	for n := range last {
		w.Write(t, key, fmt.Sprint(n+1))
	}
	o := stream.Options{Name: "failing", Store: checkpoint.NewMemory()}
	next, fails := uint64(1), 0
	for done := false; !done; {
		ctx, cancel := context.WithCancel(t.Context())
		err := operators.ForEach(ctx, subscribe(s, w.Types(), o), func(_ context.Context, c stream.Change) error {
			if c.Kind == stream.CaughtUp {
				done = true
				cancel()
				return nil
			}
			if c.Batch.Version != next {
				t.Errorf("version %d came, want %d", c.Batch.Version, next)
			}
			if next%7 == 3 && fails%2 == 0 {
				fails++
				return errPoison
			}
			if next%7 == 3 {
				fails++
			}
			next++
			return nil
		}, stopsAtOnce)
		cancel()
		resume(t, o)
		var failed *operators.HandlerError
		if !done && (!errors.Is(err, errPoison) || !errors.As(err, &failed) || failed.Version != next) {
			t.Fatalf("at version %d it ended with %v", next, err)
		}
	}
	world.Same(t, "handled", next, last+1)
}

// ledger is a database in miniature: rows and cursors change together or not at
// all, and the answer of a commit is lost now and then.
type ledger struct {
	mu      sync.Mutex
	cursors *checkpoint.Memory
	rows    []string
	commits int
}

var errCommit = errors.New("the outcome of the commit is unknown")

func (l *ledger) commit(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry, rows []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commits++
	if l.commits%5 == 1 {
		return errCommit // it was not applied
	}
	if err := l.cursors.Save(ctx, owner, entries); err != nil {
		return err
	}
	l.rows = append(l.rows, rows...)
	if l.commits%5 == 3 {
		return errCommit // it was
	}
	return nil
}

// exactLedger lets consumers crash at commits of unknown outcome: each batch has
// one row in the end.
func exactLedger(t *testing.T, w *world.World) {
	var want []string
	keys := []msg.Key{w.Key(), w.Key(), w.Key()}
	for n := range 30 {
		value := fmt.Sprint(n)
		w.Write(t, keys[n%3], value)
		want = append(want, value)
	}
	l := &ledger{cursors: checkpoint.NewMemory()}
	o, s := stream.Options{Store: l.cursors, Buffer: 2000}, w.Session(t)
	crashes := 0
	for caught := false; !caught; {
		sub := s.Open(t, w.Types(), o)
		for {
			changes, err := sub.Next(t.Context())
			world.Must(t, err)
			changes = changes[:min(len(changes), 4)] // a transaction; the rest is lost in the crash
			caught = slices.ContainsFunc(changes, world.CaughtUp)
			if err := l.commit(t.Context(), sub.Owner(), stream.Entries(changes), world.Tell(changes)); err != nil {
				if !errors.Is(err, errCommit) {
					t.Fatal(err)
				}
				crashes++
				caught = false
				break
			}
			sub.Committed(stream.Entries(changes))
			if caught || len(changes) == 4 {
				break
			}
		}
		world.Closed(t, sub)
	}
	got := slices.Clone(l.rows)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	if crashes < 3 {
		t.Errorf("only %d commits had an unknown outcome", crashes)
	}
}

// An owner that sleeps while another takes over can store nothing any more.
func deposedOwner(t *testing.T, w *world.World) {
	key, s := w.Grown(t, 3), w.Session(t)
	l := &ledger{cursors: checkpoint.NewMemory(), commits: 1}
	o := stream.Options{Store: l.cursors}
	sleeper := s.Open(t, stream.Aggregates(key), o)
	var old []stream.Change
	for len(world.Tell(old)) < 3 {
		some, err := sleeper.Next(t.Context())
		world.Must(t, err)
		old = append(old, some...)
	}
	heir := s.Open(t, stream.Aggregates(key), o)
	taken := world.Take(t, heir, world.CaughtUp)
	world.WantTold(t, "the heir's", taken, "1", "2", "3")
	err := l.commit(t.Context(), sleeper.Owner(), stream.Entries(old), world.Tell(old))
	if !errors.Is(err, checkpoint.ErrFenced) || len(l.rows) > 0 {
		t.Errorf("the sleeper's commit gave %v and %d rows", err, len(l.rows))
	}
	if err := sleeper.Commit(t.Context(), stream.Entries(old)); !errors.Is(err, checkpoint.ErrFenced) {
		t.Errorf("the sleeper's Commit gave %v", err)
	}
	<-sleeper.Done()
	if !errors.Is(sleeper.Err(), checkpoint.ErrFenced) {
		t.Errorf("the sleeper ended with %v", sleeper.Err())
	}
	w.Write(t, key, "4")
	world.WantTold(t, "the heir's", world.Take(t, heir, world.Showing("4")), "4")
}

// A change whose handler panics ends its consumer, is named, and comes first
// when the consumer is back.
func neverSkipped(t *testing.T, w *world.World) {
	bad, good, s := w.Grown(t, 2), w.Grown(t, 2), w.Session(t)
	o := stream.Options{Name: "poisoned", Store: checkpoint.NewMemory()}
	for range 3 {
		err := operators.ForEach(t.Context(), subscribe(s, stream.Aggregates(bad), o), func(_ context.Context, c stream.Change) error {
			if c.Kind == stream.Batch && c.Batch.Version == 2 {
				panic(errPoison)
			}
			return nil
		}, stopsAtOnce)
		resume(t, o)
		var failed *operators.HandlerError
		if !errors.As(err, &failed) || failed.Key != bad || failed.Version != 2 || !errors.Is(err, errPoison) {
			t.Fatalf("ended with %v", err)
		}
	}
	world.WantTold(t, "another consumer", world.Take(t, s.Open(t, stream.Aggregates(good), stream.Options{}), world.CaughtUp), "1", "2")
	world.WantTold(t, "cured", world.Take(t, s.Open(t, stream.Aggregates(bad), o), world.CaughtUp), "2")
}

// A batch that the node cannot send is announced; its aggregate is parked, and
// all others flow on.
func unreadableBatch(t *testing.T, w *world.World) {
	bad, s := w.Grown(t, 1), w.Session(t)
	var events []msg.Event
	for i := range 8 {
		events = append(events, msg.Event{ClientSeq: uint64(i + 2), Major: 1, Value: world.Noise(w.Server.MaxResponseSize/8 + 100)})
	}
	_, err := w.Pool.WriteEvents(t.Context(), bad, events, w.Client, pool.WriteOptions{})
	world.Must(t, err)
	w.Write(t, bad, "3")
	good := w.Grown(t, 2)
	sub := s.Open(t, w.Types(), stream.Options{})
	got := world.ByKey(world.Take(t, sub, world.CaughtUp))
	if _, ok := got[bad]; !ok || len(world.Tell(got[bad])) < 2 {
		for k, c := range world.ByKey(world.Take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Unreadable })) {
			got[k] = append(got[k], c...)
		}
	}
	world.WantTold(t, "the bad one", got[bad], "1", "unreadable 2")
	world.WantTold(t, "the good one", got[good], "1", "2")
	w.Write(t, good, "3")
	world.WantTold(t, "live", world.Take(t, sub, world.Showing("3")), "3")
	world.Same(t, "unreadable", sub.Stats().Unreadable, 1)
}
