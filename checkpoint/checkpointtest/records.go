package checkpointtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

var recordRules = []Rule{
	{Name: "records come back exactly", Check: recordsExact, Needs: recording},
	{Name: "records are listed by prefix, in order", Check: recordsListed, Needs: recording},
	{Name: "a record is changed by its revision", Check: recordsCompared, Needs: recording},
	{Name: "a mutation is applied whole", Check: mutationWhole, Needs: recording},
	{Name: "bad mutations are refused", Check: badMutations, Needs: recording},
	{Name: "a limit holds", Check: limitHolds, Needs: recording},
	{Name: "subscriptions have records of their own", Check: recordsApart, Needs: recording},
	{Name: "deleting forgets the records", Check: recordsDeleted, Needs: recording},
	{Name: "a subscription that does not exist has no records", Check: recordsOfNobody, Needs: recording},
	{Name: "an exchange writes and reads", Check: exchanges, Needs: recording},
	{Name: "subscriptions are described and listed", Check: described, Needs: recording},
	{Name: "records survive reopening", Check: recordsReopened, Needs: func(f Fixture) bool { return f.Records && f.Durable }},
	{Name: "of those who change a record one wins", Check: recordRace, Needs: recording},
	{Name: "of those who fill a limit none passes it", Check: limitRace, Needs: recording},
}

// recorder is the bench's store, which keeps records.
func (b bench) recorder() checkpoint.RecordStore {
	b.Helper()
	rs, ok := b.store.(checkpoint.RecordStore)
	if !ok {
		b.Fatalf("the fixture promises records, but %T keeps none", b.store)
	}
	return rs
}

func (b bench) apply(name string, m checkpoint.Mutation) {
	b.Helper()
	if err := b.recorder().Apply(b.ctx, name, m); err != nil {
		b.Fatalf("applying to %q: %v", name, err)
	}
}

// refuses requires that a mutation is refused with an error of type E.
func refuses[E error](b bench, name string, m checkpoint.Mutation) (refused E) {
	b.Helper()
	err := b.recorder().Apply(b.ctx, name, m)
	refused, ok := errors.AsType[E](err)
	if !ok {
		b.Fatalf("applying to %q: %v, want a %T", name, err, refused)
	}
	return refused
}

// recorded requires that exactly these records are below a prefix.
func (b bench) recorded(name, prefix string, want ...string) {
	b.Helper()
	records, _, err := b.recorder().Records(b.ctx, name, prefix)
	if err != nil {
		b.Fatalf("reading the records of %q: %v", name, err)
	}
	got := make([]string, len(records))
	for i, r := range records {
		got[i] = r.Key + "=" + string(r.Value)
		if r.Revision != checkpoint.RevisionOf(r.Value) {
			b.Fatalf("record %q has revision %x instead of its value's", r.Key, r.Revision)
		}
	}
	if !slices.Equal(got, want) {
		b.Fatalf("%q has the records %.300q, want %.300q", name, got, want)
	}
}

// put is a mutation that stores records unconditionally, given as "key=value".
func put(pairs ...string) checkpoint.Mutation {
	var m checkpoint.Mutation
	for _, p := range pairs {
		key, value, _ := strings.Cut(p, "=")
		m.Records = append(m.Records, checkpoint.RecordChange{Key: key, Value: []byte(value), Any: true})
	}
	return m
}

func revision(value string) uint64 { return checkpoint.RevisionOf([]byte(value)) }

func recordsExact(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	want := []string{
		"A=upper", "a=lower", "a b=between", "a'b=it's \"quoted\" \\ %s $1 ?1 ; --", "long=" + strings.Repeat("é", checkpoint.MaxRecordValue/2),
		strings.Repeat("z", checkpoint.MaxRecordKey) + "=1", "{}={\"a\":1 , \"a\":2}", "é=\n\t\x01", "語=🦆",
	}
	slices.SortFunc(want, func(a, b string) int { return strings.Compare(a[:strings.Index(a, "=")], b[:strings.Index(b, "=")]) })
	m := put(want...)
	m.Owners = []checkpoint.Owner{owner}
	b.apply(name, m)
	b.recorded(name, "", want...)
	for i := range m.Records {
		m.Records[i].Value[0] ^= 1 // the store keeps none of the caller's memory
	}
	b.recorded(name, "", want...)
	got, _, err := b.recorder().Records(b.ctx, name, "A")
	if err != nil {
		t.Fatalf("reading records: %v", err)
	}
	got[0].Value[0] ^= 1
	b.recorded(name, "A", "A=upper")
}

func recordsListed(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	b.apply(name, put("a/1=x", "a/10=x", "a/2=x", "a=x", "a0=x", "b/1=x", "a%=x", "a_=x", "A/1=x"))
	b.recorded(name, "a/", "a/1=x", "a/10=x", "a/2=x")
	b.recorded(name, "a/1", "a/1=x", "a/10=x")
	b.recorded(name, "a%", "a%=x")
	b.recorded(name, "a_", "a_=x")
	b.recorded(name, "c")
	b.recorded(name, "", "A/1=x", "a=x", "a%=x", "a/1=x", "a/10=x", "a/2=x", "a0=x", "a_=x", "b/1=x")
	var many []string
	for i := range 900 {
		many = append(many, fmt.Sprintf("many/%04d=%d", i, i))
	}
	b.apply(name, put(many...))
	b.recorded(name, "many/", many...)
}

func recordsCompared(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	one := func(c checkpoint.RecordChange) checkpoint.Mutation {
		return checkpoint.Mutation{Records: []checkpoint.RecordChange{c}}
	}
	lost := func(c checkpoint.RecordChange, stored uint64) {
		t.Helper()
		want := checkpoint.RevisionError{Name: name, Key: c.Key, Stored: stored, Wanted: c.Revision}
		if refused := refuses[*checkpoint.RevisionError](b, name, one(c)); *refused != want {
			t.Fatalf("refused with %+v, want %+v", *refused, want)
		}
	}
	first, second := []byte("first"), []byte("second")
	lost(checkpoint.RecordChange{Key: "k", Value: first, Revision: 7}, 0)
	lost(checkpoint.RecordChange{Key: "k", Revision: 7}, 0)
	b.apply(name, one(checkpoint.RecordChange{Key: "k", Value: first}))
	lost(checkpoint.RecordChange{Key: "k", Value: second}, revision("first"))
	lost(checkpoint.RecordChange{Key: "k", Value: second, Revision: 7}, revision("first"))
	lost(checkpoint.RecordChange{Key: "k", Revision: 7}, revision("first"))
	lost(checkpoint.RecordChange{Key: "k", Check: true, Revision: 7}, revision("first"))
	lost(checkpoint.RecordChange{Key: "k", Check: true}, revision("first"))
	b.recorded(name, "", "k=first")
	b.apply(name, one(checkpoint.RecordChange{Key: "k", Check: true, Revision: revision("first")}))
	b.apply(name, one(checkpoint.RecordChange{Key: "none", Check: true}))
	b.recorded(name, "", "k=first")
	b.apply(name, one(checkpoint.RecordChange{Key: "k", Value: second, Revision: revision("first")}))
	b.recorded(name, "", "k=second")
	b.apply(name, one(checkpoint.RecordChange{Key: "k", Revision: revision("second")}))
	b.recorded(name, "")
	b.apply(name, one(checkpoint.RecordChange{Key: "k", Any: true}))
	b.apply(name, put("k=third"))
	b.apply(name, put("k=fourth"))
	b.recorded(name, "", "k=fourth")
}

// A mutation of which one part is refused applies none of its parts.
func mutationWhole(t testing.TB, f Fixture) {
	b := start(t, f)
	zombie := b.acquire(name)
	owner := b.acquire(name)
	first := put("k=1", "l=1")
	first.Owners, first.Entries = []checkpoint.Owner{owner}, []checkpoint.Entry{at(1, 5)}
	b.apply(name, first)
	good := func() checkpoint.Mutation {
		m := put("a=1", "k=2", "l=2", "z=1")
		m.Owners, m.Entries = []checkpoint.Owner{owner}, []checkpoint.Entry{at(1, 6), at(2, 1)}
		return m
	}
	for what, spoil := range map[string]func(m *checkpoint.Mutation){
		"the fence":         func(m *checkpoint.Mutation) { m.Owners[0] = zombie },
		"one of two fences": func(m *checkpoint.Mutation) { m.Owners = append(m.Owners, zombie) },
		"a cursor":          func(m *checkpoint.Mutation) { m.Entries[0] = at(1, 4) },
		"the last record":   func(m *checkpoint.Mutation) { m.Records[3].Any, m.Records[3].Revision = false, 7 },
		"the first record":  func(m *checkpoint.Mutation) { m.Records[0].Any, m.Records[0].Revision = false, 7 },
		"a record that is":  func(m *checkpoint.Mutation) { m.Records[2].Any = false },
		"a check": func(m *checkpoint.Mutation) {
			m.Records[2] = checkpoint.RecordChange{Key: "l", Revision: 7, Check: true}
		},
		"the limit":     func(m *checkpoint.Mutation) { m.Limit = &checkpoint.RecordLimit{Max: 3} },
		"another limit": func(m *checkpoint.Mutation) { m.Limit = &checkpoint.RecordLimit{Prefix: "z", Max: 0} },
		"an applied cursor": func(m *checkpoint.Mutation) {
			m.Entries[0] = checkpoint.Entry{Key: key(1), Cursor: cursor(0, 5), Compare: true}
		},
		"a cursor left aside": func(m *checkpoint.Mutation) { m.Entries[1].From, m.Entries[1].Compare = cursor(0, 9), true },
	} {
		m := good()
		spoil(&m)
		if err := b.recorder().Apply(b.ctx, name, m); !checkpoint.IsRefusal(err) {
			t.Fatalf("a mutation of which %s is refused: %v", what, err)
		}
		b.recorded(name, "", "k=1", "l=1")
		b.holds(name, at(1, 5), never(2))
	}
	b.apply(name, good())
	b.recorded(name, "", "a=1", "k=2", "l=2", "z=1")
	b.holds(name, at(1, 6), at(2, 1))
}

func badMutations(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	for what, m := range map[string]checkpoint.Mutation{
		"no key":               put("=1"),
		"a key that is long":   put(strings.Repeat("k", checkpoint.MaxRecordKey+1) + "=1"),
		"a key with a break":   put("a\nb=1"),
		"an empty value":       put("a="),
		"a value that is long": put("a=" + strings.Repeat("1", checkpoint.MaxRecordValue+1)),
		"a value with NUL":     put("a=1\x002"),
		"a value of no text":   put("a=\xff"),
		"a key twice":          put("a=1", "a=2"),
		"cursors of nobody":    {Entries: []checkpoint.Entry{at(1, 1)}},
		"another's owner":      {Owners: []checkpoint.Owner{{Name: "other", Epoch: 1}}},
		"a version of 2⁶³":     {Owners: []checkpoint.Owner{owner}, Entries: []checkpoint.Entry{at(1, 1<<63)}},
	} {
		if err := b.recorder().Apply(b.ctx, name, m); err == nil {
			t.Fatalf("a mutation with %s was applied", what)
		}
	}
	b.recorded(name, "")
	b.holds(name, never(1))
	if err := b.recorder().Apply(b.ctx, "", checkpoint.Mutation{Owners: []checkpoint.Owner{owner}}); err == nil {
		t.Fatalf("an owner changed the store's own records")
	}
}

func limitHolds(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	limited := func(pairs ...string) checkpoint.Mutation {
		m := put(pairs...)
		m.Limit = &checkpoint.RecordLimit{Prefix: "p/", Max: 3}
		return m
	}
	b.apply(name, limited("p/1=x", "p/2=x", "q/1=x", "q/2=x", "q/3=x"))
	b.apply(name, limited("p/3=x", "q/4=x"))
	if refused := refuses[*checkpoint.LimitError](b, name, limited("p/4=x")); refused.Stored != 3 || refused.Limit != 3 {
		t.Fatalf("refused with %+v", *refused)
	}
	b.apply(name, limited("p/3=y", "q/5=x")) // adds nothing below the prefix
	m := limited("p/4=x")
	m.Records = append(m.Records, checkpoint.RecordChange{Key: "p/1", Any: true})
	b.apply(name, m) // one comes, one goes
	b.recorded(name, "p/", "p/2=x", "p/3=y", "p/4=x")
	b.apply(name, put("p/5=x")) // no limit, no refusal
	refuses[*checkpoint.LimitError](b, name, limited("p/6=x"))
	b.apply(name, limited("p/5=y"))
}

func recordsApart(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	b.acquire(name + "2")
	b.apply(name, put("k=1"))
	b.apply(name+"2", put("k=2"))
	b.apply("", put("k=3"))
	b.recorded(name, "", "k=1")
	b.recorded(name+"2", "", "k=2")
	b.recorded("", "", "k=3")
}

func recordsDeleted(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	b.acquire(name + "2")
	b.apply(name, put("a=1", "b=1"))
	b.apply(name+"2", put("a=2"))
	b.apply("", put("a=3"))
	b.delete(name)
	b.recorded(name, "")
	b.recorded(name+"2", "", "a=2")
	b.recorded("", "", "a=3")
	b.acquire(name)
	b.recorded(name, "")
	b.apply(name, put("b=4"))
	b.recorded(name, "", "b=4")
}

func recordsOfNobody(t testing.TB, f Fixture) {
	b := start(t, f)
	b.recorded("nobody", "")
	b.recorded("", "")
	gone := func(name string) {
		t.Helper()
		if err := b.recorder().Apply(b.ctx, name, put("k=1")); !errors.Is(err, checkpoint.ErrDeleted) {
			t.Fatalf("a record of %q, which does not exist: %v, want ErrDeleted", name, err)
		}
		b.recorded(name, "")
	}
	gone("nobody")
	owner := b.acquire(name)
	b.delete(name)
	gone(name)
	if err := b.store.Save(b.ctx, owner, nil); !errors.Is(err, checkpoint.ErrDeleted) || !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("an owner of what was deleted: %v, want ErrDeleted and ErrFenced", err)
	}
}

func exchanges(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	b.apply("", put("member/a=1", "other=1"))
	before := time.Now()
	for _, where := range []string{"", name} {
		for i, value := range []string{"1", "2"} {
			change := checkpoint.RecordChange{Key: "member/b", Value: []byte(value), Any: true}
			got, now, err := checkpoint.Exchange(b.ctx, b.recorder(), where, change, "member/")
			if err != nil {
				t.Fatalf("exchanging: %v", err)
			}
			if own := got[len(got)-1]; own.Key != "member/b" || string(own.Value) != value || own.Revision != revision(value) {
				t.Fatalf("exchange %d of %q returns %+v as the own record", i, where, own)
			}
			if want := 2; where == "" && (len(got) != want || string(got[0].Value) != "1") {
				t.Fatalf("exchange returns %+v", got)
			}
			// The store's clock may be another machine's, but is one.
			if now.Year() < before.Year()-1 || now.Year() > before.Year()+1 {
				t.Fatalf("the store's time is %v", now)
			}
		}
	}
	b.recorded("", "", "member/a=1", "member/b=2", "other=1")
	stale := checkpoint.RecordChange{Key: "member/b", Value: []byte("3"), Revision: 7}
	var lost *checkpoint.RevisionError
	if _, _, err := checkpoint.Exchange(b.ctx, b.recorder(), "", stale, ""); !errors.As(err, &lost) {
		t.Fatalf("exchanging by another revision: %v, want a *RevisionError", err)
	}
}

func described(t testing.TB, f Fixture) {
	b := start(t, f)
	rs := b.recorder()
	if o, err := rs.Describe(b.ctx, name); err != nil || o != (checkpoint.Ownership{}) {
		t.Fatalf("a name never acquired is described as %+v, %v", o, err)
	}
	names := func(want ...string) {
		t.Helper()
		var got []string
		for n, err := range rs.Names(b.ctx) {
			if err != nil {
				t.Fatalf("listing names: %v", err)
			}
			got = append(got, n)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the names are %.200q, want %.200q", got, want)
		}
	}
	b.apply("", put("k=1"))
	names()
	all := []string{"A", "a b", "a\u200db", "b", "ß", "語"}
	for i := range 1100 {
		all = append(all, fmt.Sprintf("many %04d", i))
	}
	slices.Sort(all)
	for _, n := range all {
		b.acquire(n)
	}
	names(all...)
	owner := b.acquire("b")
	want := checkpoint.Ownership{Epoch: owner.Epoch, Token: owner.Token, Claimed: true, Scope: scope}
	if o, err := rs.Describe(b.ctx, "b"); err != nil || o != want || o.Token == (checkpoint.Token{}) {
		t.Fatalf("described as %+v, %v, want %+v with a token", o, err, want)
	}
	b.delete("b")
	if o, err := rs.Describe(b.ctx, "b"); err != nil || o.Claimed || o.Epoch <= owner.Epoch {
		t.Fatalf("a deleted name is described as %+v, %v", o, err)
	}
	at := slices.Index(all, "b")
	names(slices.Delete(all, at, at+1)...)
	for n, err := range rs.Names(b.ctx) { // left early, with a call inside
		if err != nil {
			t.Fatal(err)
		}
		b.acquire(n)
		break
	}
}

func recordsReopened(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	b.apply(name, put("a=1", "b=1", "partition/0001=1"))
	b.apply("", put("s=1"))
	b.apply(name, checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: "b", Any: true}}})
	b.reopen(f)
	b.recorded(name, "", "a=1", "partition/0001=1")
	b.recorded("", "", "s=1")
	b.claim(checkpoint.Claim{Name: name, Scope: "another", Adopt: true})
	b.reopen(f)
	b.recorded(name, "", "a=1")
	b.delete(name)
	b.reopen(f)
	b.recorded(name, "")
	b.recorded("", "", "s=1")
}

// Of those who read the same record only one may change it.
func recordRace(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	const racers, rounds = 4, 15
	for round := range rounds {
		var won atomic.Int64
		records, _, err := b.recorder().Records(b.ctx, name, "k")
		if err != nil {
			t.Fatal(err)
		}
		var stored uint64
		if len(records) > 0 {
			stored = records[0].Revision
		}
		b.together(racers, func(i int) error {
			value := []byte(fmt.Sprintf("round %d racer %d", round, i))
			err := b.recorder().Apply(b.ctx, name, checkpoint.Mutation{Records: []checkpoint.RecordChange{
				{Key: "k", Value: value, Revision: stored}, {Key: fmt.Sprintf("won/%d", round), Value: value},
			}})
			if _, lost := errors.AsType[*checkpoint.RevisionError](err); lost {
				return nil
			}
			won.Add(1)
			return err
		})
		if won.Load() != 1 {
			t.Fatalf("round %d: %d of %d changed the record they had all read", round, won.Load(), racers)
		}
	}
}

func limitRace(t testing.TB, f Fixture) {
	b := start(t, f)
	b.acquire(name)
	const racers, rounds = 4, 15
	for round := range rounds {
		var added atomic.Int64
		prefix := fmt.Sprintf("p/%d/", round)
		b.together(racers, func(i int) error {
			m := put(fmt.Sprintf("%s%d=x", prefix, i))
			m.Records[0].Any = false
			m.Limit = &checkpoint.RecordLimit{Prefix: prefix, Max: 1}
			err := b.recorder().Apply(b.ctx, name, m)
			if _, full := errors.AsType[*checkpoint.LimitError](err); full {
				return nil
			}
			added.Add(1)
			return err
		})
		records, _, err := b.recorder().Records(b.ctx, name, prefix)
		if err != nil || len(records) != 1 || added.Load() != 1 {
			t.Fatalf("round %d: %d records were added and %d are there, %v, want 1", round, added.Load(), len(records), err)
		}
	}
}
