package journal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// A name has room for so many cursors and no more; those that are there still move.
func TestCapacity(t *testing.T) {
	s := newState("orders")
	s.limit = 2
	s.ownership = checkpoint.Ownership{Epoch: 1, Claimed: true}
	save := func(keys ...uint64) error {
		m := checkpoint.Mutation{Owners: []checkpoint.Owner{s.ownership.Owner("orders")}}
		for _, k := range keys {
			e := checkpoint.Entry{Key: msg.Key{Aggregate: msg.IDFromUint64(k)}}
			e.Cursor.Version = s.cursors[e.Key].Version + 1
			m.Entries = append(m.Entries, e)
		}
		out, err := s.decide(&m)
		s.apply(&out)
		return err
	}
	var full *checkpoint.CapacityError
	if err := save(1, 2, 3); !errors.As(err, &full) || full.Cursors != 3 || full.Limit != 2 || !checkpoint.IsRefusal(err) {
		t.Fatalf("three cursors: %v", err)
	}
	if err := errors.Join(save(1, 2), save(2, 1), save(1)); err != nil {
		t.Fatal(err)
	}
	if err := save(1, 3); !errors.As(err, &full) {
		t.Fatalf("a third cursor: %v", err)
	}
	if limit := newState("").limit; limit != 1_000_000 {
		t.Fatalf("the limit is %d", limit)
	}
}

func FuzzDecode(f *testing.F) {
	own := checkpoint.Ownership{Epoch: 7, Claimed: true, Token: checkpoint.NewToken(), Scope: "all"}
	content := checkpoint.Outcome{
		Moved:   []checkpoint.Entry{{Key: msg.Key{Aggregate: msg.IDFromUint64(1)}, Cursor: checkpoint.Cursor{Version: 3}}},
		Records: []checkpoint.RecordChange{{Key: "k", Value: []byte("v")}, {Key: "gone"}},
	}
	for _, r := range []record{
		{index: 1, name: "orders", own: &own, rescoped: true},
		{index: 2, name: "orders", Outcome: content},
		{index: 3, name: "orders", own: &own, part: true, high: 9, Outcome: content},
		{index: 4, part: true, low: 9, high: checkpoint.Buckets},
	} {
		r.id, r.previous = checkpoint.NewToken(), checkpoint.NewToken()
		f.Add(r.encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if err != nil {
			return
		}
		again := r.encode()
		// A record has one encoding: decode accepts no other form of it.
		if !bytes.Equal(again, data) {
			t.Fatalf("%x reads as %+v, which is %x", data, r, again)
		}
		if name, err := NameOf(data); err != nil || name != r.name {
			t.Fatalf("the name of %x is %q, %v", data, name, err)
		}
		if len(data) > r.size() {
			t.Fatalf("%d bytes, at most %d were announced", len(data), r.size())
		}
	})
}
