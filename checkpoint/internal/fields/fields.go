// Package fields reads the fields of a binary record, one after another.
package fields

import "encoding/binary"

// Reader reads a record from its front. The zero value of a field stands for one that is
// missing: look at Bad at the end.
type Reader struct {
	// Rest is what was not read yet.
	Rest []byte
	// Bad tells that a field was missing, or that the caller refused one.
	Bad bool

	order binary.ByteOrder
}

// New returns a reader of a record whose integers are in the given order of bytes.
func New(record []byte, order binary.ByteOrder) *Reader {
	return &Reader{Rest: record, order: order}
}

// Bytes reads n bytes, which share the record's memory; nil if there are fewer.
func (r *Reader) Bytes(n uint64) []byte {
	if r.Bad || n > uint64(len(r.Rest)) {
		r.Bad = true
		return nil
	}
	taken := r.Rest[:n]
	r.Rest = r.Rest[n:]
	return taken
}

// Uint8 reads one byte.
func (r *Reader) Uint8() byte {
	if p := r.Bytes(1); p != nil {
		return p[0]
	}
	return 0
}

// Uint16 reads two bytes.
func (r *Reader) Uint16() uint16 {
	if p := r.Bytes(2); p != nil {
		return r.order.Uint16(p)
	}
	return 0
}

// Uint32 reads four bytes.
func (r *Reader) Uint32() uint32 {
	if p := r.Bytes(4); p != nil {
		return r.order.Uint32(p)
	}
	return 0
}

// Uint64 reads eight bytes.
func (r *Reader) Uint64() uint64 {
	if p := r.Bytes(8); p != nil {
		return r.order.Uint64(p)
	}
	return 0
}
