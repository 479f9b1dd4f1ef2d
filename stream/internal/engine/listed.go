package engine

import (
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// listedItem is what is kept of a list entry until its cursor is looked up.
type listedItem struct {
	key              msg.Key
	version, written uint64 // of the newest batch, and its server time
	deleted          bool
}

// listedItems are the entries of a page that wait for the look-up of their cursors, at 40
// bytes for each: neighbours of one organisation and type share these.
type listedItems struct {
	entries []listedEntry
	kinds   []kind
	room    int // that entries began with
}

// kind is what the keys of neighbours share.
type kind struct{ org, typ msg.ID }

type listedEntry struct {
	aggregate        msg.ID
	version, written uint64
	kind             uint32 // its place in kinds
	deleted          bool
}

func (l *listedItems) len() int { return len(l.entries) }

// grow makes room for more.
func (l *listedItems) grow(more int) { l.entries = slices.Grow(l.entries, more) }

func (l *listedItems) add(item *msg.AggregateItem) {
	is := kind{item.Key.Org, item.Key.Type}
	if n := len(l.kinds); n == 0 || l.kinds[n-1] != is {
		l.kinds = append(l.kinds, is)
	}
	l.entries = append(l.entries, listedEntry{
		aggregate: item.Key.Aggregate, version: item.MaxVersion, written: item.MaxServerTimestamp,
		kind: uint32(len(l.kinds) - 1), deleted: item.Deleted,
	})
	l.room = max(l.room, cap(l.entries))
}

func (l *listedItems) at(i int) listedItem {
	e := &l.entries[i]
	return listedItem{key: l.key(i), version: e.version, written: e.written, deleted: e.deleted}
}

func (l *listedItems) key(i int) msg.Key {
	e := &l.entries[i]
	k := &l.kinds[e.kind]
	return msg.Key{Org: k.org, Type: k.typ, Aggregate: e.aggregate}
}

// drop forgets the first ones, and their memory once it is half of all.
func (l *listedItems) drop(n int) {
	if l.entries = l.entries[n:]; 2*len(l.entries) <= l.room {
		l.entries = slices.Clone(l.entries)
		l.room = cap(l.entries)
	}
}
