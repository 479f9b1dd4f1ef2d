package checkpointtest

import (
	"context"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// name is the subscription most rules use, scope what it is claimed with.
const (
	name  = "orders"
	scope = "types 1/2"
)

// bench is a store under test with the steps rules are made of.
type bench struct {
	testing.TB
	ctx   context.Context
	store checkpoint.Store
}

// start opens the fixture until the end of the test.
func start(t testing.TB, f Fixture) bench {
	t.Helper()
	b := bench{TB: t, ctx: t.Context(), store: open(t, f)}
	t.Cleanup(func() { _ = b.store.Close() })
	return b
}

func open(t testing.TB, f Fixture) checkpoint.Store {
	t.Helper()
	store, err := f.Open(t.Context())
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	return store
}

func (b bench) acquire(name string) checkpoint.Owner {
	b.Helper()
	return b.claim(checkpoint.Claim{Name: name, Scope: scope})
}

func (b bench) claim(c checkpoint.Claim) checkpoint.Owner {
	b.Helper()
	owner, err := b.store.Acquire(b.ctx, c)
	if err != nil {
		b.Fatalf("acquiring %.80q: %v", c.Name, err)
	}
	if owner.Name != c.Name {
		b.Fatalf("acquired %.80q, the owner says %.80q", c.Name, owner.Name)
	}
	return owner
}

func (b bench) save(owner checkpoint.Owner, entries ...checkpoint.Entry) {
	b.Helper()
	if err := b.store.Save(b.ctx, owner, entries); err != nil {
		b.Fatalf("saving %d entries: %v", len(entries), err)
	}
}

// fenced requires that saving is refused because of the fence.
func (b bench) fenced(owner checkpoint.Owner, entries ...checkpoint.Entry) {
	b.Helper()
	if err := b.store.Save(b.ctx, owner, entries); !errors.Is(err, checkpoint.ErrFenced) {
		b.Fatalf("saving %d entries as a superseded owner: %v, want ErrFenced", len(entries), err)
	}
}

// regresses requires that saving is refused because of one entry.
func (b bench) regresses(owner checkpoint.Owner, want checkpoint.RegressionError, entries ...checkpoint.Entry) {
	b.Helper()
	b.wantRegression(b.store.Save(b.ctx, owner, entries), want)
}

func (b bench) wantRegression(err error, want checkpoint.RegressionError) {
	b.Helper()
	var got *checkpoint.RegressionError
	if !errors.As(err, &got) {
		b.Fatalf("saving a cursor that goes back: %v, want a *RegressionError", err)
	}
	if *got != want {
		b.Fatalf("refused with %+v, want %+v", *got, want)
	}
}

// holds requires that exactly these cursors are stored for these keys.
func (b bench) holds(name string, want ...checkpoint.Entry) {
	b.Helper()
	keys := make([]msg.Key, len(want))
	for i, e := range want {
		keys[i] = e.Key
	}
	b.compare(b.load(name, keys), want)
}

func (b bench) compare(got []checkpoint.Cursor, want []checkpoint.Entry) {
	b.Helper()
	if len(got) != len(want) {
		b.Fatalf("loaded %d cursors for %d keys", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i].Cursor {
			b.Fatalf("key %v (%d of %d) holds %+v, want %+v", want[i].Key, i, len(want), got[i], want[i].Cursor)
		}
	}
}

func (b bench) load(name string, keys []msg.Key) []checkpoint.Cursor {
	b.Helper()
	got, err := b.store.Load(b.ctx, name, keys)
	if err != nil {
		b.Fatalf("loading %d keys: %v", len(keys), err)
	}
	return got
}

// scan returns everything a scan yields and requires each key once.
func (b bench) scan(name string) map[msg.Key]checkpoint.Cursor {
	b.Helper()
	got := make(map[msg.Key]checkpoint.Cursor)
	for e, err := range b.store.Scan(b.ctx, name) {
		if err != nil {
			b.Fatalf("scanning: %v", err)
		}
		if _, again := got[e.Key]; again {
			b.Fatalf("scan yields %v twice", e.Key)
		}
		got[e.Key] = e.Cursor
	}
	return got
}

// key returns the n-th key; neighbours differ in all three parts.
func key(n int) msg.Key {
	u := uint64(n)
	return msg.Key{
		Org:       msg.IDFromUint64(u%7 + 1),
		Type:      msg.IDFromUint64s(u%3, 2),
		Aggregate: msg.IDFromUint64s(u*0x9E3779B97F4A7C15, u),
	}
}

// at returns the entry of the n-th key at a version of its first life.
func at(n int, version uint64) checkpoint.Entry {
	return checkpoint.Entry{Key: key(n), Cursor: cursor(0, version)}
}

// cursor returns a cursor whose anchor depends on where it stands.
func cursor(life, version uint64) checkpoint.Cursor {
	c := checkpoint.Cursor{Life: life, Version: version}
	if version > 0 {
		c.Anchor = checkpoint.Anchor{
			ServerTimestamp: 1_700_000_000_000 + version,
			EventSeq:        3 * version,
			ClientID:        msg.IDFromUint64s(life, version),
			Hash:            version * 0x9E3779B97F4A7C15,
		}
	}
	return c
}

// deleted returns c with its end announced.
func deleted(c checkpoint.Cursor) checkpoint.Cursor {
	c.Deleted = true
	return c
}

// never returns the entry of a key without a cursor.
func never(n int) checkpoint.Entry { return checkpoint.Entry{Key: key(n)} }

// many returns entries for keys from, from+1, … at one version.
func many(from, count int, version uint64) []checkpoint.Entry {
	entries := make([]checkpoint.Entry, count)
	for i := range entries {
		entries[i] = at(from+i, version)
	}
	return entries
}
