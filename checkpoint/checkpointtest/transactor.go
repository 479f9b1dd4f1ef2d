package checkpointtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Transactor is a store's checkpoint.Transactor whose handlers add to a counter that is
// kept where the cursors are.
type Transactor interface {
	// Transact is the store's; apply gets what adds one to the counter in the
	// transaction.
	Transact(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry, apply func(ctx context.Context, effect func() error) error) error
	// Stored is the store's.
	Stored(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) (int, error)
	// Effects reads the counter, 0 at first.
	Effects(ctx context.Context) (int, error)
}

var transactorRules = []Rule{
	{Name: "an effect and its cursor commit together, once", Check: transactOnce, Needs: transacting},
	{Name: "a handler that fails leaves nothing", Check: transactFails, Needs: transacting},
	{Name: "under a former claim no handler is called", Check: transactFenced, Needs: transacting},
	{Name: "a claim during a transaction sees it or ends it", Check: transactHandover, Needs: transacting},
}

func transacting(f Fixture) bool { return f.Transactor != nil }

// ledger is a bench with a transactor.
type ledger struct {
	bench
	transactor Transactor
}

func startLedger(t testing.TB, f Fixture) ledger {
	t.Helper()
	b := start(t, f)
	x, err := f.Transactor(b.ctx, b.store)
	if err != nil {
		t.Fatalf("making the store's transactor: %v", err)
	}
	return ledger{b, x}
}

func (l ledger) effects(want int) {
	l.Helper()
	if n, err := l.transactor.Effects(l.ctx); err != nil || n != want {
		l.Fatalf("%d effects, %v, want %d", n, err, want)
	}
}

func (l ledger) stored(owner checkpoint.Owner, entries []checkpoint.Entry, want int) {
	l.Helper()
	if n, err := l.transactor.Stored(l.ctx, owner, entries); err != nil || n != want {
		l.Fatalf("the inquiry found %d stored, %v, want %d", n, err, want)
	}
}

func (l ledger) failsIn(step checkpoint.Step, target, err error) {
	l.Helper()
	var failed *checkpoint.TransactionError
	if !errors.As(err, &failed) || failed.Step != step || !errors.Is(err, target) {
		l.Fatalf("a transaction ended with %v, want %v while %s", err, target, step)
	}
}

// follow is an entry that names the cursor it follows.
func follow(n int, version uint64) []checkpoint.Entry {
	e := at(n, version)
	e.Compare = true
	if version > 1 {
		e.From = cursor(0, version-1)
	}
	return []checkpoint.Entry{e}
}

func once(_ context.Context, effect func() error) error { return effect() }

func transactOnce(t testing.TB, f Fixture) {
	l := startLedger(t, f)
	owner := l.acquire(name)
	for version := uint64(1); version <= 3; version++ {
		next := follow(1, version)
		l.stored(owner, next, 0)
		if err := l.transactor.Transact(l.ctx, owner, next, once); err != nil {
			t.Fatalf("transaction %d: %v", version, err)
		}
		l.effects(int(version))
		l.holds(name, at(1, version))
		l.stored(owner, next, 1)
		// As after a commit whose answer was lost.
		l.failsIn(checkpoint.StepSave, checkpoint.ErrApplied, l.transactor.Transact(l.ctx, owner, next, once))
		l.effects(int(version))
	}
	// A transaction may have cursors alone, and effects alone.
	if err := l.transactor.Transact(l.ctx, owner, follow(1, 4), func(context.Context, func() error) error { return nil }); err != nil {
		t.Fatalf("a transaction without effect: %v", err)
	}
	if err := l.transactor.Transact(l.ctx, owner, nil, once); err != nil {
		t.Fatalf("a transaction without cursors: %v", err)
	}
	l.effects(4)
	l.holds(name, at(1, 4))
}

func transactFails(t testing.TB, f Fixture) {
	l := startLedger(t, f)
	owner := l.acquire(name)
	failure := errors.New("the handler's failure")
	fail := func(_ context.Context, effect func() error) error { return errors.Join(effect(), failure) }
	err := l.transactor.Transact(l.ctx, owner, follow(1, 1), fail)
	var failed *checkpoint.TransactionError
	if !errors.Is(err, failure) || errors.As(err, &failed) {
		t.Fatalf("a transaction whose handler fails ended with %v, want its error as it is", err)
	}
	l.effects(0)
	l.holds(name, never(1))
	func() {
		defer func() { _ = recover() }()
		_ = l.transactor.Transact(l.ctx, owner, follow(1, 1), func(_ context.Context, effect func() error) error {
			_ = effect()
			panic("the handler panics")
		})
	}()
	l.effects(0)
	l.holds(name, never(1))
	// Nothing is left that keeps others out.
	if err := l.transactor.Transact(l.ctx, owner, follow(1, 1), once); err != nil {
		t.Fatalf("a transaction after a handler that panicked: %v", err)
	}
	l.effects(1)
	l.acquire(name)
}

func transactFenced(t testing.TB, f Fixture) {
	l := startLedger(t, f)
	zombie := l.acquire(name)
	owner := l.acquire(name)
	called := false
	err := l.transactor.Transact(l.ctx, zombie, follow(1, 1), func(_ context.Context, effect func() error) error {
		called = true
		return effect()
	})
	l.failsIn(checkpoint.StepSave, checkpoint.ErrFenced, err)
	if called {
		t.Fatalf("the handler was called under a former claim")
	}
	_, err = l.transactor.Stored(l.ctx, zombie, follow(1, 1))
	l.failsIn(checkpoint.StepInquire, checkpoint.ErrFenced, err)
	l.effects(0)
	if err := l.transactor.Transact(l.ctx, owner, follow(1, 1), once); err != nil {
		t.Fatalf("a transaction under the newest claim: %v", err)
	}
	l.effects(1)
}

// While a handler works its subscription is claimed. The claim may wait for the
// transaction, or make it fail; it must not miss one that succeeds.
func transactHandover(t testing.TB, f Fixture) {
	l := startLedger(t, f)
	owner := l.acquire(name)
	effects := 0
	version := uint64(0)
	for range 4 {
		type outcome struct {
			owner checkpoint.Owner
			seen  []checkpoint.Cursor
			err   error
		}
		acquired := make(chan outcome, 1)
		transacted := l.transactor.Transact(l.ctx, owner, follow(1, version+1), func(_ context.Context, effect func() error) error {
			begun, early := make(chan struct{}), make(chan struct{})
			go func() {
				var o outcome
				close(begun)
				if o.owner, o.err = l.store.Acquire(l.ctx, checkpoint.Claim{Name: name, Scope: scope}); o.err == nil {
					o.seen, o.err = l.store.Load(l.ctx, name, []msg.Key{key(1)})
				}
				close(early)
				acquired <- o
			}()
			<-begun
			select {
			case <-early:
			case <-time.After(head):
			}
			return effect()
		})
		o := <-acquired
		if o.err != nil {
			t.Fatalf("acquiring while a transaction is under way: %v", o.err)
		}
		if transacted == nil {
			effects, version = effects+1, version+1
			if o.seen[0] != cursor(0, version) {
				t.Fatalf("a transaction committed %v, its owner's successor found %v", cursor(0, version), o.seen[0])
			}
		}
		l.effects(effects)
		if transacted == nil || version > 0 {
			l.holds(name, at(1, version))
		}
		l.failsIn(checkpoint.StepSave, checkpoint.ErrFenced, l.transactor.Transact(l.ctx, owner, follow(1, version+1), once))
		l.effects(effects)
		owner = o.owner
	}
}
