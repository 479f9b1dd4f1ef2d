package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/fields"
)

// A record is, with all integers big-endian:
//
//	head   u8 format, u8 kind, u64 index, 16 bytes id of the record before,
//	       16 bytes id, u8 length and text of the name
//	own    kind 1: ownership
//	apply  kind 2: content
//	part   kind 3: u8 first, ownership if it is, u16 low, u16 high, content
//
//	ownership  u64 epoch, u8 flags, 16 bytes token, u32 length and text of the scope
//	content    u32 count, count × (key, cursor),
//	           u32 count, count × (u16 length, record key, u32 length, record value)
//
// Of the flags 1 means claimed, an own without it is a deletion; 2 means that the
// scope changed, which removes the partitions' records. A record value of no bytes
// deletes the record. A part of a snapshot has what there is in the buckets from low
// to below high.
//
// The index counts the journal's records from 1. The first record names no record
// before it: sixteen zero bytes.
const (
	format = 1

	kindOwn   = 1
	kindApply = 2
	kindPart  = 3

	flagClaimed  = 1
	flagRescoped = 2

	entrySize  = checkpoint.KeySize + checkpoint.CursorSize
	recordSize = 2 + 4
	// headSize is the most that a record has before its content.
	headSize = 2 + 8 + 16 + 16 + 1 + checkpoint.MaxName + 1 + 8 + 1 + 16 + 4 + 4 + 4 + 4
)

// id identifies a record: random, so that no other process and no other run makes
// it again.
type id = checkpoint.Token

// record is a change of one subscription at its place in the journal.
type record struct {
	index    uint64
	previous id
	id       id
	name     string

	// own is the ownership that a claim or a deletion made, or that a part of a
	// snapshot begins with.
	own      *checkpoint.Ownership
	rescoped bool
	// part tells that it is a part of a snapshot, of the buckets from low to below
	// high.
	part      bool
	low, high uint16
	checkpoint.Outcome
}

// encode returns the record's binary form.
func (r *record) encode() []byte {
	b := make([]byte, 0, headSize+len(r.Moved)*entrySize)
	kind := byte(kindApply)
	switch {
	case r.part:
		kind = kindPart
	case r.own != nil:
		kind = kindOwn
	}
	b = append(b, format, kind)
	b = binary.BigEndian.AppendUint64(b, r.index)
	b = append(append(b, r.previous[:]...), r.id[:]...)
	b = append(append(b, byte(len(r.name))), r.name...)
	if r.part {
		b = append(b, flag(r.own != nil, 1))
	}
	if r.own != nil {
		b = appendOwnership(b, r.own, r.rescoped)
	}
	if r.part {
		b = binary.BigEndian.AppendUint16(b, r.low)
		b = binary.BigEndian.AppendUint16(b, r.high)
	}
	if kind != kindOwn {
		b = appendContent(b, &r.Outcome)
	}
	return b
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

func appendOwnership(b []byte, o *checkpoint.Ownership, rescoped bool) []byte {
	b = binary.BigEndian.AppendUint64(b, o.Epoch)
	b = append(b, flag(o.Claimed, flagClaimed)|flag(rescoped, flagRescoped))
	b = append(b, o.Token[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(o.Scope)))
	return append(b, o.Scope...)
}

func appendContent(b []byte, out *checkpoint.Outcome) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(out.Moved)))
	for i := range out.Moved {
		b, _ = out.Moved[i].Cursor.AppendBinary(checkpoint.AppendKey(b, out.Moved[i].Key))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(out.Records)))
	for i := range out.Records {
		c := &out.Records[i]
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.Key)))
		b = append(b, c.Key...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(c.Value)))
		b = append(b, c.Value...)
	}
	return b
}

// NameOf returns the name of the journal that a record belongs to, for logs that
// cannot tell it otherwise.
func NameOf(data []byte) (string, error) {
	var r record
	b := fields.New(data, binary.BigEndian)
	if _, err := r.decodeHead(b); err != nil {
		return "", err
	}
	return r.name, nil
}

// decode reads what encode wrote: a [*checkpoint.VersionError] for a format of
// another release, a [*checkpoint.DamagedError] for anything else. The values of
// records alias data.
func decode(data []byte) (record, error) {
	var r record
	b := fields.New(data, binary.BigEndian)
	kind, err := r.decodeHead(b)
	if err != nil {
		return record{}, err
	}
	first := false
	if kind == kindPart {
		r.part = true
		set := b.Uint8()
		first, b.Bad = set == 1, b.Bad || set > 1
	}
	if kind == kindOwn || first {
		r.decodeOwnership(b)
	}
	if r.part {
		r.low, r.high = b.Uint16(), b.Uint16()
		b.Bad = b.Bad || r.low >= r.high || r.high > checkpoint.Buckets
	}
	if kind != kindOwn {
		if err := r.decodeContent(b); err != nil {
			return record{}, err
		}
	}
	if b.Bad || len(b.Rest) > 0 {
		return record{}, damaged("its record %d does not read as one", r.index)
	}
	return r, nil
}

func damaged(reason string, args ...any) error {
	return &checkpoint.DamagedError{Where: "the journal", Offset: -1, Reason: fmt.Sprintf(reason, args...)}
}

func (r *record) decodeHead(b *fields.Reader) (kind byte, err error) {
	found := b.Uint8()
	if !b.Bad && found != format {
		return 0, &checkpoint.VersionError{Where: "a record of the journal", Found: uint64(found), Supported: format}
	}
	kind = b.Uint8()
	r.index = b.Uint64()
	copy(r.previous[:], b.Bytes(uint64(len(r.previous))))
	copy(r.id[:], b.Bytes(uint64(len(r.id))))
	r.name = string(b.Bytes(uint64(b.Uint8())))
	if b.Bad || r.index == 0 || kind < kindOwn || kind > kindPart || r.name == "" && kind == kindOwn {
		return 0, damaged("what should be a record is none")
	}
	return kind, nil
}

func (r *record) decodeOwnership(b *fields.Reader) {
	r.own = &checkpoint.Ownership{Epoch: b.Uint64()}
	flags := b.Uint8()
	copy(r.own.Token[:], b.Bytes(uint64(len(r.own.Token))))
	r.own.Scope = string(b.Bytes(uint64(b.Uint32())))
	r.own.Claimed, r.rescoped = flags&flagClaimed != 0, flags&flagRescoped != 0
	b.Bad = b.Bad || flags&^(flagClaimed|flagRescoped) != 0
}

func (r *record) decodeContent(b *fields.Reader) error {
	entries := b.Bytes(uint64(b.Uint32()) * entrySize)
	r.Moved = make([]checkpoint.Entry, len(entries)/entrySize)
	for i := range r.Moved {
		e := entries[i*entrySize : (i+1)*entrySize]
		r.Moved[i].Key, _ = checkpoint.ParseKey(e[:checkpoint.KeySize])
		if err := r.Moved[i].Cursor.UnmarshalBinary(e[checkpoint.KeySize:]); err != nil {
			return err
		}
	}
	for range b.Uint32() {
		var c checkpoint.RecordChange
		c.Key = string(b.Bytes(uint64(b.Uint16())))
		if value := b.Bytes(uint64(b.Uint32())); len(value) > 0 {
			c.Value = value
		}
		if b.Bad = b.Bad || c.Key == ""; b.Bad {
			return nil
		}
		r.Records = append(r.Records, c)
	}
	return nil
}

// size is at least the length of the record's binary form.
func (r *record) size() int {
	size := headSize + len(r.Moved)*entrySize
	if r.own != nil {
		size += len(r.own.Scope)
	}
	for i := range r.Records {
		size += recordSize + len(r.Records[i].Key) + len(r.Records[i].Value)
	}
	return size
}
