package checkpoint

import (
	"github.com/celeriant/celeriant-go/msg"
	"github.com/zeebo/xxh3"
)

// Buckets is the number of buckets that keys are spread over.
const Buckets = 4096

// KeyHash is the XXH3-64 hash with seed 0 of the key's binary form (AppendKey).
// Partitions and buckets depend on it: it is the same in every release.
func KeyHash(key msg.Key) uint64 {
	var b [KeySize]byte
	return xxh3.Hash(AppendKey(b[:0], key))
}

// Bucket is the key's bucket, from 0 to 4095: the upper 12 bits of its KeyHash.
// Stores that keep the cursors of many aggregates in one value file them under
// it. The bucket depends on nothing else, above all not on partitions, so that
// another number of partitions moves no cursor.
func Bucket(key msg.Key) uint16 { return uint16(KeyHash(key) >> 52) }
