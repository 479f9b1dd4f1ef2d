package engine

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/celeriant/celeriant-go/msg"
)

// Entries come back as they were added, whatever is dropped in between.
func TestListedItems(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var l listedItems
	var want []listedItem
	for range 20_000 {
		if n := l.len(); n > 0 && rng.IntN(500) == 0 {
			n = rng.IntN(n) + 1
			l.drop(n)
			want = want[n:]
		}
		item := msg.AggregateItem{
			Key:        msg.Key{Org: msg.IDFromUint64(rng.Uint64N(2)), Type: msg.IDFromUint64(rng.Uint64N(2)), Aggregate: msg.IDFromUint64(rng.Uint64())},
			MaxVersion: rng.Uint64(), MaxServerTimestamp: rng.Uint64(), Deleted: rng.IntN(2) == 0,
		}
		l.add(&item)
		want = append(want, listedItem{item.Key, item.MaxVersion, item.MaxServerTimestamp, item.Deleted})
	}
	if l.len() != len(want) {
		t.Fatalf("%d entries, want %d", l.len(), len(want))
	}
	for i := range want {
		if l.at(i) != want[i] || l.key(i) != want[i].key {
			t.Fatalf("entry %d is %v, want %v", i, l.at(i), want[i])
		}
	}
}

// Entries that were looked up give their memory back.
func TestListedItemsGiveRoomBack(t *testing.T) {
	var l listedItems
	for i := range uint64(10_000) {
		l.add(&msg.AggregateItem{Key: msg.Key{Aggregate: msg.IDFromUint64(i)}})
	}
	for l.len() > 100 {
		l.drop(100)
	}
	if l.room > 400 || len(l.kinds) != 1 {
		t.Errorf("room for %d and %d kinds are kept for 100 entries of one kind", l.room, len(l.kinds))
	}
}

// A lane fits 768 bytes, a size that the allocator knows: 32,768 are not committed at most.
func TestLaneSize(t *testing.T) {
	if size := unsafe.Sizeof(lane{}); size > 768 {
		t.Errorf("a lane takes %d bytes, want 768 at most", size)
	}
}
