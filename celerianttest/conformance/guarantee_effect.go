package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// What the guarantees say about effects: G11 to G13.

var leastOnceRules = []rule{{name: "failed_changes_come_again", check: failedChanges}}

var exactlyOnceRules = []rule{
	{name: "ledger", check: exactLedger},
	{name: "deposed_owner", check: deposedOwner},
}

var poisonRules = []rule{
	{name: "a_failing_change_is_never_skipped", check: neverSkipped},
	{name: "a_slow_consumer_holds_up_nobody_it_shares_with", check: slowSharer},
	{name: "an_unreadable_batch_holds_up_nothing_else", check: unreadableBatch, needs: func(w *world) bool { return w.target.MaxResponseSize > 0 }},
}

// subscribe makes the session an operators.Source of one scope.
func (s session) subscribe(scope stream.Scope, o stream.Options) operators.Source {
	return source(func(ctx context.Context) (stream.Consumer, error) {
		return stream.Open(ctx, stream.FromPool(s.pool), scope, o)
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
	done(t, checkpoint.RequestResume(context.Background(), o.Store.(checkpoint.RecordStore), o.Name))
}

// A handler that fails again and again gets the change it failed on first; what
// it had handled does not come again.
func failedChanges(t *testing.T, w *world) {
	key, s := w.key(), w.session(t)
	const last = 40
	for n := range last {
		w.write(t, key, fmt.Sprint(n+1))
	}
	o := stream.Options{Name: "failing", Store: checkpoint.NewMemory()}
	next, fails := uint64(1), 0
	for done := false; !done; {
		ctx, cancel := context.WithCancel(t.Context())
		err := operators.ForEach(ctx, s.subscribe(w.types(), o), func(_ context.Context, c stream.Change) error {
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
	same(t, "handled", next, last+1)
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
func exactLedger(t *testing.T, w *world) {
	var want []string
	keys := []msg.Key{w.key(), w.key(), w.key()}
	for n := range 30 {
		value := fmt.Sprint(n)
		w.write(t, keys[n%3], value)
		want = append(want, value)
	}
	l := &ledger{cursors: checkpoint.NewMemory()}
	o, s := stream.Options{Store: l.cursors, Buffer: 2000}, w.session(t)
	crashes := 0
	for caught := false; !caught; {
		sub := s.open(t, w.types(), o)
		for {
			changes, err := sub.Next(t.Context())
			done(t, err)
			changes = changes[:min(len(changes), 4)] // a transaction; the rest is lost in the crash
			caught = slices.ContainsFunc(changes, caughtUp)
			if err := l.commit(t.Context(), sub.Owner(), stream.Entries(changes), tell(changes)); err != nil {
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
		closed(t, sub)
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
func deposedOwner(t *testing.T, w *world) {
	key, s := w.grown(t, 3), w.session(t)
	l := &ledger{cursors: checkpoint.NewMemory(), commits: 1}
	o := stream.Options{Store: l.cursors}
	sleeper := s.open(t, stream.Aggregates(key), o)
	var old []stream.Change
	for len(tell(old)) < 3 {
		some, err := sleeper.Next(t.Context())
		done(t, err)
		old = append(old, some...)
	}
	heir := s.open(t, stream.Aggregates(key), o)
	taken := take(t, heir, caughtUp)
	wantTold(t, "the heir's", taken, "1", "2", "3")
	err := l.commit(t.Context(), sleeper.Owner(), stream.Entries(old), tell(old))
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
	w.write(t, key, "4")
	wantTold(t, "the heir's", take(t, heir, showing("4")), "4")
}

// A change whose handler panics ends its consumer, is named, and comes first
// when the consumer is back.
func neverSkipped(t *testing.T, w *world) {
	bad, good, s := w.grown(t, 2), w.grown(t, 2), w.session(t)
	o := stream.Options{Name: "poisoned", Store: checkpoint.NewMemory()}
	for range 3 {
		err := operators.ForEach(t.Context(), s.subscribe(stream.Aggregates(bad), o), func(_ context.Context, c stream.Change) error {
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
	wantTold(t, "another consumer", take(t, s.open(t, stream.Aggregates(good), stream.Options{}), caughtUp), "1", "2")
	wantTold(t, "cured", take(t, s.open(t, stream.Aggregates(bad), o), caughtUp), "2")
}

// A batch that the node cannot send is announced; its aggregate is parked, and
// all others flow on.
func unreadableBatch(t *testing.T, w *world) {
	bad, s := w.grown(t, 1), w.session(t)
	var events []msg.Event
	for i := range 8 {
		events = append(events, msg.Event{ClientSeq: uint64(i + 2), Major: 1, Value: noise(w.target.MaxResponseSize/8 + 100)})
	}
	_, err := w.pool.WriteEvents(t.Context(), bad, events, w.client, pool.WriteOptions{})
	done(t, err)
	w.write(t, bad, "3")
	good := w.grown(t, 2)
	sub := s.open(t, w.types(), stream.Options{})
	got := byKey(take(t, sub, caughtUp))
	if _, ok := got[bad]; !ok || len(tell(got[bad])) < 2 {
		for k, c := range byKey(take(t, sub, func(c stream.Change) bool { return c.Kind == stream.Unreadable })) {
			got[k] = append(got[k], c...)
		}
	}
	wantTold(t, "the bad one", got[bad], "1", "unreadable 2")
	wantTold(t, "the good one", got[good], "1", "2")
	w.write(t, good, "3")
	wantTold(t, "live", take(t, sub, showing("3")), "3")
	same(t, "parked", sub.Stats().Parked, 1)
}
