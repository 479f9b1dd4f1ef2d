package stream

import (
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"

	"github.com/celeriant/celeriant-go/msg"
)

// HashRange is a range of aggregates by the hash of their keys, First to Last
// inclusive, so that several processes can share a scope. The zero HashRange,
// and that from 0 to the largest number, hold every aggregate. Ranges of
// different subscriptions may overlap: what lies in both is delivered to both.
type HashRange struct{ First, Last uint64 }

// HashShare returns the i-th of n ranges of equal size, which together hold every
// aggregate once; i counts from 0. HashShare panics unless 0 <= i < n.
func HashShare(i, n int) HashRange {
	if i < 0 || i >= n {
		panic(fmt.Sprintf("stream: share %d of %d: want 0 <= i < n", i, n))
	}
	bound := func(i int) uint64 { // i/n of 2^64, for i < n
		q, _ := bits.Div64(uint64(i), 0, uint64(n))
		return q
	}
	last := ^uint64(0)
	if i < n-1 {
		last = bound(i+1) - 1
	}
	return HashRange{First: bound(i), Last: last}
}

// Whole reports whether the range holds every aggregate.
func (r HashRange) Whole() bool {
	return r == HashRange{} || r == HashRange{Last: ^uint64(0)}
}

// Contains reports whether the range holds the aggregate.
func (r HashRange) Contains(key msg.Key) bool {
	if r.Whole() {
		return true
	}
	h := HashOf(key)
	return r.First <= h && h <= r.Last
}

// String returns the range in hexadecimal.
func (r HashRange) String() string {
	if r.Whole() {
		return "all hashes"
	}
	return fmt.Sprintf("hashes %016x-%016x", r.First, r.Last)
}

// HashOf is the hash that ranges are made of: XXH3 with 64 bits over
// organisation, type and aggregate, 16 bytes each. The hash is part of the
// format: processes of different releases must agree on it.
func HashOf(key msg.Key) uint64 {
	var b [48]byte
	copy(b[:], key.Org[:])
	copy(b[16:], key.Type[:])
	copy(b[32:], key.Aggregate[:])
	return xxh3.Hash(b[:])
}
