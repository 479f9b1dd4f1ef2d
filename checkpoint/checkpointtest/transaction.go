package checkpointtest

import (
	"errors"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var transactionRules = []Rule{
	{Name: "a committed transaction saves", Check: txCommits, Needs: transactional},
	{Name: "a rolled back transaction saves nothing", Check: txRollsBack, Needs: transactional},
	{Name: "a transaction is fenced", Check: txFenced, Needs: transactional},
	{Name: "a refused save leaves its transaction empty", Check: txRefused, Needs: transactional},
	{Name: "a transaction sees its own saves", Check: txSeesItself, Needs: transactional},
	{Name: "a new owner sees what its forerunner commits", Check: txHandover, Needs: transactional},
	{Name: "a new owner of a partition sees what its forerunner commits", Check: txLeasedHandover, Needs: transactionalRecords},
	{Name: "a transaction applies records, too", Check: txRecords, Needs: transactionalRecords},
	{Name: "an inquiry sees what was under way", Check: txInquiry, Needs: transactionalRecords},
}

func (b bench) begin(f Fixture) Tx {
	b.Helper()
	tx, err := f.Begin(b.ctx, b.store)
	if err != nil {
		b.Fatalf("beginning a transaction: %v", err)
	}
	// A rule that fails half-way must not leave a lock behind, on which the
	// closing of the store would wait.
	b.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func (b bench) end(what string, do func() error) {
	b.Helper()
	if err := do(); err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

func txCommits(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	want := many(0, 1300, 2)
	tx := b.begin(f)
	if err := tx.Save(b.ctx, owner, want); err != nil {
		t.Fatalf("saving in a transaction: %v", err)
	}
	b.end("committing", tx.Commit)
	b.holds(name, want...)
}

// Whether an ambiguous commit happened is for the cursors to tell: they must
// not have moved without it.
func txRollsBack(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 1))
	tx := b.begin(f)
	if err := tx.Save(b.ctx, owner, []checkpoint.Entry{at(1, 2), at(2, 1)}); err != nil {
		t.Fatalf("saving in a transaction: %v", err)
	}
	b.end("rolling back", tx.Rollback)
	b.holds(name, at(1, 1), never(2))
	// The same effect and cursor once more, as after an ambiguous commit.
	tx = b.begin(f)
	if err := tx.Save(b.ctx, owner, []checkpoint.Entry{at(1, 2), at(2, 1)}); err != nil {
		t.Fatalf("saving in a transaction: %v", err)
	}
	b.end("committing", tx.Commit)
	b.holds(name, at(1, 2), at(2, 1))
}

func txFenced(t testing.TB, f Fixture) {
	b := start(t, f)
	zombie := b.acquire(name)
	b.save(zombie, at(1, 1))
	owner := b.acquire(name)
	for _, entries := range [][]checkpoint.Entry{{at(1, 2), at(2, 1)}, {at(1, 1)}, {}} {
		tx := b.begin(f)
		if err := tx.Save(b.ctx, zombie, entries); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("saving %d entries in a transaction as a superseded owner: %v, want ErrFenced", len(entries), err)
		}
		b.end("committing after ErrFenced", tx.Commit)
		b.holds(name, at(1, 1), never(2))
	}
	b.save(owner, at(1, 2))
}

// A caller that commits in spite of the error must not store half a save.
func txRefused(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	const count = 1300
	b.save(owner, at(count-1, 9))
	tx := b.begin(f)
	b.wantRegression(tx.Save(b.ctx, owner, many(0, count, 2)),
		checkpoint.RegressionError{Key: key(count - 1), Stored: cursor(0, 9), Offered: cursor(0, 2)})
	b.end("committing after a refusal", tx.Commit)
	if got := b.scan(name); len(got) != 1 {
		t.Fatalf("a refused save left %d cursors, want the 1 of before", len(got))
	}
}

func txSeesItself(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, at(1, 1))
	tx := b.begin(f)
	for _, e := range []checkpoint.Entry{at(1, 2), at(2, 1), at(1, 3)} {
		if err := tx.Save(b.ctx, owner, []checkpoint.Entry{e}); err != nil {
			t.Fatalf("saving in a transaction: %v", err)
		}
	}
	got, err := tx.Load(b.ctx, name, []msg.Key{key(1), key(2), key(3)})
	if err != nil {
		t.Fatalf("loading in a transaction: %v", err)
	}
	b.compare(got, []checkpoint.Entry{at(1, 3), at(2, 1), never(3)})
	b.wantRegression(tx.Save(b.ctx, owner, []checkpoint.Entry{at(1, 2)}),
		checkpoint.RegressionError{Key: key(1), Stored: cursor(0, 3), Offered: cursor(0, 2)})
	b.end("rolling back", tx.Rollback)
	b.holds(name, at(1, 1), never(2))
}

// head is how long somebody who must wait for a commit is given to come before
// it. A machine that is too slow for it only sees less.
const head = 30 * time.Millisecond

// Between a save in a transaction and its commit the subscription may be
// acquired. The acquisition may wait for the commit or make it fail; it must
// not return before a commit that succeeds.
func txHandover(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	for round := range uint64(6) {
		tx := b.begin(f)
		if err := tx.Save(b.ctx, owner, []checkpoint.Entry{at(1, round+1)}); err != nil {
			t.Fatalf("saving in a transaction: %v", err)
		}
		type outcome struct {
			owner checkpoint.Owner
			seen  []checkpoint.Cursor
			err   error
		}
		acquired := make(chan outcome, 1)
		begun := make(chan struct{})
		go func() {
			var o outcome
			close(begun)
			if o.owner, o.err = b.store.Acquire(b.ctx, checkpoint.Claim{Name: name, Scope: scope}); o.err == nil {
				o.seen, o.err = b.store.Load(b.ctx, name, []msg.Key{key(1)})
			}
			acquired <- o
		}()
		<-begun
		var o outcome
		early := false
		select {
		case o = <-acquired:
			early = true
		case <-time.After(head):
		}
		committed := tx.Commit()
		if !early {
			o = <-acquired
		}
		if o.err != nil {
			t.Fatalf("acquiring while the owner commits: %v", o.err)
		}
		if committed == nil && o.seen[0] != cursor(0, round+1) {
			t.Fatalf("the owner committed %v, its successor found %v", cursor(0, round+1), o.seen[0])
		}
		b.fenced(owner, at(1, round+2))
		owner = o.owner
	}
}

// txLeasedHandover is txHandover for one partition.
func txLeasedHandover(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	owner := b.lease(name, 7, 1)
	for round := range uint64(6) {
		tx := b.begin(f)
		if err := tx.Save(b.ctx, owner, []checkpoint.Entry{at(1, round+1)}); err != nil {
			t.Fatalf("saving in a transaction: %v", err)
		}
		next := owner
		next.Epoch++
		type outcome struct {
			seen []checkpoint.Cursor
			err  error
		}
		claimed := make(chan outcome, 1)
		begun := make(chan struct{})
		go func() {
			var o outcome
			close(begun)
			if o.err = b.recorder().Apply(b.ctx, name, leaseOf(next)); o.err == nil {
				o.seen, o.err = b.store.Load(b.ctx, name, []msg.Key{key(1)})
			}
			claimed <- o
		}()
		<-begun
		var o outcome
		early := false
		select {
		case o = <-claimed:
			early = true
		case <-time.After(head):
		}
		committed := tx.Commit()
		if !early {
			o = <-claimed
		}
		if o.err != nil {
			t.Fatalf("claiming a partition while its owner commits: %v", o.err)
		}
		if committed == nil && o.seen[0] != cursor(0, round+1) {
			t.Fatalf("the owner committed %v, its successor found %v", cursor(0, round+1), o.seen[0])
		}
		b.fenced(owner, at(1, round+2))
		owner = next
	}
}

func txRecords(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	owner := b.lease(name, 7, 1)
	m := put("k=1")
	m.Owners, m.Entries = []checkpoint.Owner{owner}, []checkpoint.Entry{at(1, 1)}
	tx := b.begin(f)
	if err := tx.Apply(b.ctx, name, m); err != nil {
		t.Fatalf("applying in a transaction: %v", err)
	}
	b.end("rolling back", tx.Rollback)
	b.recorded(name, "k")
	b.holds(name, never(1))
	tx = b.begin(f)
	if err := tx.Apply(b.ctx, name, m); err != nil {
		t.Fatalf("applying in a transaction: %v", err)
	}
	b.end("committing", tx.Commit)
	b.recorded(name, "k", "k=1")
	b.holds(name, at(1, 1))
	next := b.lease(name, 7, 2)
	tx = b.begin(f)
	m.Records[0].Value, m.Entries = []byte("2"), []checkpoint.Entry{at(1, 2)}
	if err := tx.Apply(b.ctx, name, m); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("applying in a transaction as a superseded owner: %v, want ErrFenced", err)
	}
	b.end("committing after ErrFenced", tx.Commit)
	b.recorded(name, "k", "k=1")
	b.holds(name, at(1, 1))
	// Refused for its cursor, it leaves its record out as well.
	b.save(next, at(1, 3))
	m.Owners = []checkpoint.Owner{next}
	tx = b.begin(f)
	b.wantRegression(tx.Apply(b.ctx, name, m), checkpoint.RegressionError{Key: key(1), Stored: cursor(0, 3), Offered: cursor(0, 2)})
	b.end("committing after a refusal", tx.Commit)
	b.recorded(name, "k", "k=1")
	b.holds(name, at(1, 3))
}

// After a commit whose answer was lost, the owner holds its fence exclusively and
// looks. A commit that is still under way then either shows or never comes.
func txInquiry(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	whole, leased := b.acquire(name), b.lease(name, 7, 1)
	for round := range uint64(6) {
		owner := []checkpoint.Owner{whole, leased}[round%2]
		tx := b.begin(f)
		if err := tx.Save(b.ctx, owner, []checkpoint.Entry{at(1, round+1)}); err != nil {
			t.Fatalf("saving in a transaction: %v", err)
		}
		type outcome struct {
			seen []checkpoint.Cursor
			err  error
		}
		inquired := make(chan outcome, 1)
		begun := make(chan struct{})
		go func() {
			var o outcome
			close(begun)
			m := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Exclusive: true}
			if o.err = b.recorder().Apply(b.ctx, name, m); o.err == nil {
				o.seen, o.err = b.store.Load(b.ctx, name, []msg.Key{key(1)})
			}
			inquired <- o
		}()
		<-begun
		var o outcome
		early := false
		select {
		case o = <-inquired:
			early = true
		case <-time.After(head):
		}
		committed := tx.Commit()
		if !early {
			o = <-inquired
		}
		if o.err != nil {
			t.Fatalf("inquiring while a save commits: %v", o.err)
		}
		if committed == nil && o.seen[0] != cursor(0, round+1) {
			t.Fatalf("%v was committed, the inquiry found %v", cursor(0, round+1), o.seen[0])
		}
	}
}
