package checkpointtest

import (
	"context"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Fixture is the storage of one rule, empty at first.
type Fixture struct {
	// Open opens the storage; every call opens the same. The suite closes what
	// it opens.
	Open func(ctx context.Context) (checkpoint.Store, error)
	// Durable tells that what was stored is there after Close and Open.
	Durable bool
	// Shared tells that the storage may be open several times at once.
	Shared bool
	// Records tells that the store is a checkpoint.RecordStore.
	Records bool
	// Notifies tells that the store is a checkpoint.Notifier.
	Notifies bool
	// Begin starts a transaction of the caller's; nil if the store has none.
	Begin func(ctx context.Context, store checkpoint.Store) (Tx, error)
	// Transactor returns the store's checkpoint.Transactor; nil if it is none.
	Transactor func(ctx context.Context, store checkpoint.Store) (Transactor, error)
}

// Tx is a transaction of the caller's with the store's SaveTx, ApplyTx and LoadTx
// bound to it. Rollback after Commit or Rollback does nothing; its error is ignored.
type Tx interface {
	Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error
	Apply(ctx context.Context, name string, m checkpoint.Mutation) error
	Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error)
	Commit() error
	Rollback() error
}

// Rule is one rule of the contract and the test of it.
type Rule struct {
	Name string
	// Check fails t if the store breaks the rule.
	Check func(t testing.TB, f Fixture)
	// Needs tells what a fixture must offer for the rule to apply to it; nil
	// means nothing.
	Needs func(f Fixture) bool
}

// Run tests a store against every rule that applies to it. open makes a new,
// empty fixture.
func Run(t *testing.T, open func(t testing.TB) Fixture) {
	t.Helper()
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			f := open(t)
			if rule.Needs != nil && !rule.Needs(f) {
				t.Logf("not promised by this store")
				return
			}
			rule.Check(t, f)
		})
	}
}

// Rules returns all rules, for suites that run them in their own way.
func Rules() []Rule {
	var all []Rule
	for _, some := range [][]Rule{
		ownershipRules, fenceRules, progressRules, lookupRules, scanRules,
		compareRules, recordRules, leasedRules, rebuildRules, notifyRules,
		lifetimeRules, transactionRules, transactorRules, concurrencyRules,
	} {
		all = append(all, some...)
	}
	return all
}

func durable(f Fixture) bool       { return f.Durable }
func shared(f Fixture) bool        { return f.Shared }
func recording(f Fixture) bool     { return f.Records }
func notifying(f Fixture) bool     { return f.Notifies }
func transactional(f Fixture) bool { return f.Begin != nil }

func transactionalRecords(f Fixture) bool { return f.Begin != nil && f.Records }
