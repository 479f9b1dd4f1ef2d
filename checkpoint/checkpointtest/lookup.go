package checkpointtest

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var lookupRules = []Rule{
	{Name: "every field comes back", Check: everyField},
	{Name: "unusual ids are different keys", Check: unusualKeys},
	{Name: "a look-up is parallel to its keys", Check: parallel},
	{Name: "what was never saved is zero", Check: neverSaved},
	{Name: "100,000 keys in one look-up", Check: manyKeys},
}

func everyField(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	const top = ^uint64(0)
	full := checkpoint.Cursor{Life: 1, Version: 2, Deleted: true,
		Anchor: checkpoint.Anchor{ServerTimestamp: 3, EventSeq: 4, ClientID: msg.IDFromUint64s(5, 6), Hash: 7}}
	var want []checkpoint.Entry
	for i, change := range []func(*checkpoint.Cursor){
		func(*checkpoint.Cursor) {},
		func(c *checkpoint.Cursor) { c.Deleted = false },
		func(c *checkpoint.Cursor) { c.Life = 0 },
		func(c *checkpoint.Cursor) { c.Life = top >> 1 },
		func(c *checkpoint.Cursor) { c.Version = top >> 1 },
		func(c *checkpoint.Cursor) { c.Version, c.Anchor = 0, checkpoint.Anchor{} },
		func(c *checkpoint.Cursor) { c.Anchor = checkpoint.Anchor{} },
		func(c *checkpoint.Cursor) { c.Anchor.ServerTimestamp = top },
		func(c *checkpoint.Cursor) { c.Anchor.EventSeq = top },
		func(c *checkpoint.Cursor) { c.Anchor.Hash = top },
		func(c *checkpoint.Cursor) { c.Anchor.Hash = 1 << 63 },
		func(c *checkpoint.Cursor) { c.Anchor.ClientID = msg.IDFromUint64s(top, top) },
		func(c *checkpoint.Cursor) { c.Anchor.ClientID = msg.ID{} },
	} {
		c := full
		change(&c)
		want = append(want, checkpoint.Entry{Key: key(i), Cursor: c})
	}
	b.save(owner, want...)
	b.holds(name, want...)
	got := b.scan(name)
	for _, e := range want {
		if got[e.Key] != e.Cursor {
			t.Fatalf("scan yields %+v, want %+v", got[e.Key], e.Cursor)
		}
	}
}

func unusualKeys(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	const top = ^uint64(0)
	ids := []msg.ID{{}, msg.IDFromUint64(1), msg.IDFromUint64s(top, top), msg.IDFromUint64s(1<<63, 0), msg.IDFromUint64s(0, 1<<63)}
	var entries []checkpoint.Entry
	for _, org := range ids {
		for _, typ := range ids {
			for _, aggregate := range ids {
				k := msg.Key{Org: org, Type: typ, Aggregate: aggregate}
				entries = append(entries, checkpoint.Entry{Key: k, Cursor: cursor(0, uint64(len(entries)+1))})
			}
		}
	}
	b.save(owner, entries...)
	b.holds(name, entries...)
	if got := b.scan(name); len(got) != len(entries) {
		t.Fatalf("%d keys stored as %d", len(entries), len(got))
	}
}

func parallel(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	b.save(owner, many(0, 10, 4)...)
	b.save(owner, at(3, 5), at(7, 6))
	b.holds(name, at(7, 6), at(3, 5), never(50), at(7, 6), at(0, 4), never(50), at(3, 5))
	if got := b.load(name, nil); len(got) != 0 {
		t.Fatalf("no keys, %d cursors", len(got))
	}
}

func neverSaved(t testing.TB, f Fixture) {
	b := start(t, f)
	b.holds("nobody", never(1), never(2))
	b.acquire(name)
	b.holds(name, never(1))
	b.save(b.acquire("other"), at(1, 1))
	b.holds(name, never(1))
}

func manyKeys(t testing.TB, f Fixture) {
	b := start(t, f)
	owner := b.acquire(name)
	const count, every = 100_000, 29
	want := make([]checkpoint.Entry, count)
	var stored []checkpoint.Entry
	for i := range want {
		want[i] = never(i)
		if i%every == 0 {
			want[i] = at(i, uint64(i+1))
			stored = append(stored, want[i])
		}
	}
	for len(stored) > 0 {
		n := min(len(stored), 5000)
		b.save(owner, stored[:n]...)
		stored = stored[n:]
	}
	b.holds(name, want...)
}
