package engine

import (
	"encoding/binary"

	"github.com/celeriant/celeriant-go/msg"
)

// keySet is an exact set of keys that takes about 30 bytes for each of a
// million: organisation and type are stored once.
type keySet struct {
	types map[[2]msg.ID]uint32
	keys  map[packedKey]struct{}
}

// packedKey is a number for the organisation and type, and the aggregate's id.
type packedKey [4 + len(msg.ID{})]byte

// add reports whether the key is new to the set.
func (s *keySet) add(key msg.Key) bool {
	packed := s.pack(key)
	if _, ok := s.keys[packed]; ok {
		return false
	}
	if s.keys == nil {
		s.keys = make(map[packedKey]struct{})
	}
	s.keys[packed] = struct{}{}
	return true
}

func (s *keySet) remove(key msg.Key) { delete(s.keys, s.pack(key)) }

func (s *keySet) pack(key msg.Key) (packed packedKey) {
	kind := [2]msg.ID{key.Org, key.Type}
	n, ok := s.types[kind]
	if !ok {
		if s.types == nil {
			s.types = make(map[[2]msg.ID]uint32)
		}
		n = uint32(len(s.types))
		s.types[kind] = n
	}
	binary.LittleEndian.PutUint32(packed[:4], n)
	copy(packed[4:], key.Aggregate[:])
	return packed
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

// spread is a place among traceBits: FNV-1a over the ids.
func spread(key msg.Key) uint64 {
	h := uint64(14695981039346656037)
	for _, id := range [3]msg.ID{key.Org, key.Type, key.Aggregate} {
		for _, b := range id {
			h = (h ^ uint64(b)) * 1099511628211
		}
	}
	return (h ^ h>>32) % traceBits
}
