package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/celeriant/celeriant-go/checkpoint/internal/fields"
)

// The log of a file store is a header and records, all integers little-endian:
//
//	header  8 bytes "CELERCKP", u32 format, u32 crc32c of these 12 bytes
//	record  u32 mark, u32 length of the body, u64 number, u32 crc32c, body
//
// The checksum covers length, number and body. Numbers count from 1 without a
// gap, so that a lost or repeated record shows. One record is one change, and
// a change is in effect exactly when its record is whole:
//
//	own    kind 3, name, u64 epoch, u8 flags, 16 bytes token, u32 length, scope
//	apply  kind 4, name, u32 count, count × (key, cursor),
//	       u32 count, count × (u16 length, record key, u32 length, record value)
//
// where a name is one length byte and its text. Of the flags 1 means claimed; an
// own without it is a deletion. 2 means that the scope changed, and removes the
// partitions' records. A record value of no bytes deletes the record. The store's
// own records are applied to the empty name.
//
// Behind the last record may lie a seal, which the next record overwrites:
//
//	seal  u32 mark, u64 number of the last record, u32 crc32c of these 12 bytes
//
// The seal is written once the record is on the disk. A record that does not read as
// one but was sealed is damaged; one without a seal may have been cut short by a
// crash.
//
// Format 1 had an own without token and an apply without records, which are still
// read; opening such a log rewrites it:
//
//	own    kind 1, name, u64 epoch, u8 claimed, u32 length, scope
//	move   kind 2, name, u32 count, count × (key, cursor)
const (
	logFormat  = 2
	oldFormat  = 1
	headerSize = 16
	frameSize  = 20
	entrySize  = KeySize + CursorSize

	sealSize   = 16
	recordSize = 2 + 4

	kindOwn1  = 1
	kindMove1 = 2
	kindOwn   = 3
	kindApply = 4

	flagClaimed  = 1
	flagRescoped = 2

	// maxBody bounds a record that is written: two and a half million entries.
	// Records that are read are bounded by the size of their log.
	maxBody = 256 << 20
)

var (
	headerMagic = []byte("CELERCKP")
	// recordMark begins every record; what is unlikely to occur otherwise.
	recordMark = []byte{0xC5, 0x1E, 0x7A, 0xB6}
	sealMark   = []byte{0x5E, 0xA1, 0x1B, 0xD7}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// appendHeader appends the header of a log.
func appendHeader(b []byte) []byte {
	start := len(b)
	b = append(b, headerMagic...)
	b = binary.LittleEndian.AppendUint32(b, logFormat)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// checkHeader accepts what appendHeader of this or an earlier release writes, and
// returns the format.
func checkHeader(where string, b []byte) (format uint32, err error) {
	switch {
	case len(b) < headerSize:
		return 0, &DamagedError{Where: where, Offset: 0, Reason: "shorter than its header"}
	case !bytes.Equal(b[:8], headerMagic):
		return 0, &DamagedError{Where: where, Offset: 0, Reason: "not a checkpoint log"}
	case crc32.Checksum(b[:12], castagnoli) != binary.LittleEndian.Uint32(b[12:]):
		return 0, &DamagedError{Where: where, Offset: 8, Reason: "header checksum does not match"}
	}
	format = binary.LittleEndian.Uint32(b[8:])
	if format != logFormat && format != oldFormat {
		return 0, &VersionError{Where: where, Found: uint64(format), Supported: logFormat}
	}
	return format, nil
}

// appendSeal appends the seal of a record.
func appendSeal(b []byte, number uint64) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(append(b, sealMark...), number)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseSeal reads a seal; ok is false if b is none.
func parseSeal(b []byte) (number uint64, ok bool) {
	if len(b) != sealSize || !bytes.Equal(b[:4], sealMark) || crc32.Checksum(b[:12], castagnoli) != binary.LittleEndian.Uint32(b[12:]) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[4:]), true
}

// frame is what precedes a record's body.
type frame struct {
	length uint32
	number uint64
	sum    uint32
}

// parseFrame reads a frame; ok is false if the bytes cannot begin a record.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) < frameSize || !bytes.Equal(b[:4], recordMark) {
		return frame{}, false
	}
	f.length = binary.LittleEndian.Uint32(b[4:])
	f.number = binary.LittleEndian.Uint64(b[8:])
	f.sum = binary.LittleEndian.Uint32(b[16:])
	return f, true
}

// checksum is what sum must be. fields are length and number as they are framed.
func checksum(fields, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(fields, castagnoli), castagnoli, body)
}

// beginRecord makes room for a frame; endRecord fills it in.
func beginRecord(b []byte) []byte { return append(b, make([]byte, frameSize)...) }

func endRecord(b []byte, start int, number uint64) []byte {
	f, body := b[start:start+frameSize], b[start+frameSize:]
	copy(f, recordMark)
	binary.LittleEndian.PutUint32(f[4:], uint32(len(body)))
	binary.LittleEndian.PutUint64(f[8:], number)
	binary.LittleEndian.PutUint32(f[16:], checksum(f[4:16], body))
	return b
}

// change is a record's body, read or to be written.
type change struct {
	name string
	// own is the new ownership; nil for an apply.
	own *Ownership
	// rescoped tells that own changes the scope.
	rescoped bool
	Outcome
}

// appendChange appends the record of a change.
func appendChange(b []byte, number uint64, c change) []byte {
	start := len(b)
	b = beginRecord(b)
	if c.own != nil {
		b = appendOwn(b, c)
	} else {
		b = appendApply(b, c)
	}
	return endRecord(b, start, number)
}

func appendOwn(b []byte, c change) []byte {
	b = appendName(append(b, kindOwn), c.name)
	b = binary.LittleEndian.AppendUint64(b, c.own.Epoch)
	var flags byte
	if c.own.Claimed {
		flags |= flagClaimed
	}
	if c.rescoped {
		flags |= flagRescoped
	}
	b = append(append(b, flags), c.own.Token[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.own.Scope)))
	return append(b, c.own.Scope...)
}

func appendApply(b []byte, c change) []byte {
	b = appendName(append(b, kindApply), c.name)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Moved)))
	for i := range c.Moved {
		b = c.Moved[i].Cursor.append(AppendKey(b, c.Moved[i].Key))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Records)))
	for i := range c.Records {
		r := &c.Records[i]
		b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Key)))
		b = append(b, r.Key...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Value)))
		b = append(b, r.Value...)
	}
	return b
}

func appendName(b []byte, name string) []byte {
	return append(append(b, byte(len(name))), name...)
}

// applySize is the length of an apply record without records, to refuse and to
// allocate by.
func applySize(name string, entries int) int {
	return frameSize + 1 + 1 + len(name) + 4 + entries*entrySize + 4
}

// size is the length of the record of an apply.
func (c *change) size() int {
	size := applySize(c.name, len(c.Moved))
	for i := range c.Records {
		size += recordSize + len(c.Records[i].Key) + len(c.Records[i].Value)
	}
	return size
}

var errBody = errors.New("record does not read as one")

// parseBody reads what appendChange of this or an earlier release wrote, and
// fails on anything that they would not write, so a checksum that matches by
// chance does no harm.
func parseBody(content []byte) (change, error) {
	b := fields.New(content, binary.LittleEndian)
	kind := b.Uint8()
	// Not CheckName: what counts as printable differs between releases.
	c := change{name: string(b.Bytes(uint64(b.Uint8())))}
	if c.name == "" && kind != kindApply {
		return change{}, errBody
	}
	var err error
	switch kind {
	case kindOwn, kindOwn1:
		c.parseOwn(b, kind)
	case kindApply, kindMove1:
		err = c.parseApply(b, kind)
	default:
		return change{}, errBody
	}
	if err == nil && (b.Bad || len(b.Rest) > 0) {
		err = errBody
	}
	if err != nil {
		return change{}, err
	}
	return c, nil
}

func (c *change) parseOwn(b *fields.Reader, kind byte) {
	c.own = &Ownership{Epoch: b.Uint64()}
	flags, known := b.Uint8(), byte(flagClaimed)
	if kind == kindOwn {
		known |= flagRescoped
		copy(c.own.Token[:], b.Bytes(uint64(len(c.own.Token))))
	}
	c.own.Claimed, c.rescoped = flags&flagClaimed != 0, flags&flagRescoped != 0
	c.own.Scope = string(b.Bytes(uint64(b.Uint32())))
	if flags&^known != 0 || c.rescoped && !c.own.Claimed {
		b.Bad = true
	}
}

func (c *change) parseApply(b *fields.Reader, kind byte) error {
	entries := b.Bytes(uint64(b.Uint32()) * entrySize)
	c.Moved = make([]Entry, len(entries)/entrySize)
	for i := range c.Moved {
		e := entries[i*entrySize : (i+1)*entrySize]
		c.Moved[i].Key, _ = ParseKey(e[:KeySize])
		// Not UnmarshalBinary: an earlier release may have stored what is
		// refused now, and that must not keep the whole log from being read.
		if err := c.Moved[i].Cursor.read(e[KeySize:]); err != nil {
			return err
		}
	}
	if kind == kindMove1 {
		return nil
	}
	for range b.Uint32() {
		var r RecordChange
		r.Key = string(b.Bytes(uint64(b.Uint16())))
		if value := b.Bytes(uint64(b.Uint32())); len(value) > 0 {
			r.Value = bytes.Clone(value)
		}
		if b.Bad || r.Key == "" {
			return errBody
		}
		c.Records = append(c.Records, r)
	}
	return nil
}
