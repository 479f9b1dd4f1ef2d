package engine

import (
	"github.com/zeebo/xxh3"

	"github.com/celeriant/celeriant-go/msg"
)

// keySet is a set of keys that takes 20 to 40 bytes for each: it holds hashes of
// 128 bits. Two of a million keys share one with a probability below 10^-26.
type keySet map[[16]byte]struct{}

// add reports whether the key is new to the set.
func (s *keySet) add(key msg.Key) bool {
	h := hash(key).Bytes()
	if _, ok := (*s)[h]; ok {
		return false
	}
	if *s == nil {
		*s = make(keySet)
	}
	(*s)[h] = struct{}{}
	return true
}

// has reports whether the key is in the set.
func (s *keySet) has(key msg.Key) bool {
	_, ok := (*s)[hash(key).Bytes()]
	return ok
}

func (s *keySet) remove(key msg.Key) { delete(*s, hash(key).Bytes()) }

func hash(key msg.Key) xxh3.Uint128 {
	var b [48]byte
	copy(b[:], key.Org[:])
	copy(b[16:], key.Type[:])
	copy(b[32:], key.Aggregate[:])
	return xxh3.Hash128(b[:])
}

const (
	// exactly is how many keys a trace keeps as they are.
	exactly = 16 << 10
	// traceBits is the size of what takes the place of more.
	traceBits = 1 << 22
)

// trace is a set of keys of bounded size. Beyond 16 Ki keys it may also report
// others: 2 % of them at 100,000, 21 % at a million.
type trace struct {
	keys map[msg.Key]struct{}
	bits []uint64
}

func (t *trace) add(key msg.Key) {
	if t.bits != nil {
		h := spread(key)
		t.bits[h/64] |= 1 << (h % 64)
		return
	}
	if t.keys == nil {
		t.keys = make(map[msg.Key]struct{})
	}
	t.keys[key] = struct{}{}
	if len(t.keys) > exactly {
		t.bits = make([]uint64, traceBits/64)
		for k := range t.keys {
			t.add(k)
		}
		t.keys = nil
	}
}

func (t *trace) has(key msg.Key) bool {
	if t.bits != nil {
		h := spread(key)
		return t.bits[h/64]&(1<<(h%64)) != 0
	}
	_, ok := t.keys[key]
	return ok
}

// spread is a place among traceBits.
func spread(key msg.Key) uint64 { return hash(key).Lo % traceBits }
