package lease

import (
	"github.com/zeebo/xxh3"

	"github.com/celeriant/celeriant-go/msg"
)

// hash is XXH3 with 64 bits over the ids that make the unit, 16 bytes each, in the
// order organisation, type, aggregate; for single aggregates that is
// [checkpoint.KeyHash]. Stored definitions depend on it: it must
// never change.
func (b By) hash(key msg.Key) uint64 {
	var ids [3 * len(msg.ID{})]byte
	n := copy(ids[:], key.Org[:])
	if b != ByOrg {
		n += copy(ids[n:], key.Type[:])
	}
	if b == ByAggregate {
		n += copy(ids[n:], key.Aggregate[:])
	}
	return xxh3.Hash(ids[:n])
}

// weight orders members for a group of partitions (rendezvous hashing): each group
// has its own order, in which nobody's place depends on the other members.
func weight(group uint32, member string) uint64 {
	return xxh3.HashStringSeed(member, uint64(group)+1)
}
