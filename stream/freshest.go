package stream

import (
	"cmp"
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// standing is what a node shows of an aggregate.
type standing struct {
	known   bool // the node has ever seen it
	version uint64
	time    uint64 // of the newest batch, or of the delete
	floor   uint64
	deleted bool
}

func standingOf(d *msg.DetailsResponse) standing {
	return standing{known: true, version: d.MaxVersion, time: d.LastServerTimestamp, floor: d.MinVersion, deleted: d.Deleted}
}

// relation is how far one node's log reaches beside another's.
type relation uint8

const (
	unclear relation = iota
	equal
	ahead
	behind
)

// relate compares what two nodes show of one aggregate. The version alone does not
// tell: another life counts anew. Neither does the time: a clock may have been set back.
func relate(a, b standing) relation {
	switch {
	case a.known != b.known:
		return aheadIf(a.known)
	case a == b:
		return equal
	case a.version == b.version && a.time == b.time:
		if a.deleted != b.deleted {
			return aheadIf(a.deleted) // a recreation would have another version or time
		}
		return aheadIf(a.floor > b.floor)
	case a.version >= b.version && a.time >= b.time:
		return ahead
	case a.version <= b.version && a.time <= b.time:
		return behind
	}
	return unclear
}

func aheadIf(a bool) relation {
	if a {
		return ahead
	}
	return behind
}

// mostDoubtful is how many aggregates are asked for one by one to tell which of two
// lists is newer: as many that are deleted in one of them, and as many others.
const mostDoubtful = 8

// relatePages compares the first list pages of two nodes, which hold what changed last:
// one difference tells whose log reaches further. Where entries do not tell, the
// aggregates in doubt are returned, those that changed last first.
func relatePages(a, b []msg.AggregateItem) (r relation, doubtful []msg.Key) {
	theirs := make(map[msg.Key]*msg.AggregateItem, len(b))
	for i := range b {
		if theirs[b[i].Key] == nil { // the first entry is the newest
			theirs[b[i].Key] = &b[i]
		}
	}
	seen := make(map[msg.Key]struct{}, len(a))
	var doubts []*msg.AggregateItem
	var found [behind + 1]bool
	for i := range a {
		mine := &a[i]
		if _, again := seen[mine.Key]; again {
			continue
		}
		seen[mine.Key] = struct{}{}
		r := unclear
		if other := theirs[mine.Key]; other != nil {
			r = relateItems(mine, other)
			delete(theirs, mine.Key)
		}
		if found[r] = true; r == unclear {
			doubts = append(doubts, mine)
		}
	}
	for _, other := range theirs {
		doubts = append(doubts, other)
	}
	switch {
	case found[ahead] && found[behind]:
		return unclear, nil
	case found[ahead]:
		return ahead, nil
	case found[behind]:
		return behind, nil
	case len(doubts) == 0:
		return equal, nil
	}
	return unclear, latestOf(doubts)
}

// relateItems compares two entries of an aggregate. Entries of deleted aggregates have
// neither version nor time, and a segment of trims names none either.
func relateItems(a, b *msg.AggregateItem) relation {
	switch {
	case a.Deleted && b.Deleted:
		return equal
	case a.Deleted || b.Deleted:
		return unclear
	case a.MaxVersion == 0 || b.MaxVersion == 0:
		return equal
	}
	return relate(
		standing{known: true, version: a.MaxVersion, time: a.MaxServerTimestamp, floor: a.MinVersion},
		standing{known: true, version: b.MaxVersion, time: b.MaxServerTimestamp, floor: b.MinVersion})
}

// latestOf returns some of the aggregates in doubt: deleted ones, and those with the
// newest times.
func latestOf(doubts []*msg.AggregateItem) []msg.Key {
	slices.SortStableFunc(doubts, func(a, b *msg.AggregateItem) int { return cmp.Compare(b.MaxServerTimestamp, a.MaxServerTimestamp) })
	var keys []msg.Key
	deleted, alive := 0, 0
	for _, item := range doubts {
		count := &alive
		if item.Deleted {
			count = &deleted
		}
		if *count++; *count <= mostDoubtful {
			keys = append(keys, item.Key)
		}
	}
	return keys
}
