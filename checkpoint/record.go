package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
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
//	own   kind 1, name, u64 epoch, u8 claimed, u32 length, scope
//	move  kind 2, name, u32 count, count × (key, cursor)
//
// where a name is one length byte and its text. An own that is not claimed is a
// deletion.
const (
	logFormat  = 1
	headerSize = 16
	frameSize  = 20
	entrySize  = KeySize + CursorSize

	kindOwn  = 1
	kindMove = 2

	// maxBody bounds a record that is written: two and a half million entries.
	// Those that are read are bounded by the size of their log.
	maxBody = 256 << 20
)

var (
	headerMagic = []byte("CELERCKP")
	// recordMark begins every record; what is unlikely to occur otherwise.
	recordMark = []byte{0xC5, 0x1E, 0x7A, 0xB6}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// appendHeader appends the header of a log.
func appendHeader(b []byte) []byte {
	start := len(b)
	b = append(b, headerMagic...)
	b = binary.LittleEndian.AppendUint32(b, logFormat)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// checkHeader accepts exactly what appendHeader writes.
func checkHeader(where string, b []byte) error {
	switch {
	case len(b) < headerSize:
		return &DamagedError{Where: where, Offset: 0, Reason: "shorter than its header"}
	case !bytes.Equal(b[:8], headerMagic):
		return &DamagedError{Where: where, Offset: 0, Reason: "not a checkpoint log"}
	case crc32.Checksum(b[:12], castagnoli) != binary.LittleEndian.Uint32(b[12:]):
		return &DamagedError{Where: where, Offset: 8, Reason: "header checksum does not match"}
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != logFormat {
		return &VersionError{Where: where, Found: uint64(v), Supported: logFormat}
	}
	return nil
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

// appendOwn appends a record that sets the ownership of name.
func appendOwn(b []byte, number uint64, name string, o ownership) []byte {
	start := len(b)
	b = appendName(append(beginRecord(b), kindOwn), name)
	b = binary.LittleEndian.AppendUint64(b, o.epoch)
	b = append(b, byte(rank(o.claimed)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(o.scope)))
	return endRecord(append(b, o.scope...), start, number)
}

// appendMove appends a record that moves cursors of name.
func appendMove(b []byte, number uint64, name string, entries []Entry) []byte {
	start := len(b)
	b = appendName(append(beginRecord(b), kindMove), name)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	for i := range entries {
		b = entries[i].Cursor.append(AppendKey(b, entries[i].Key))
	}
	return endRecord(b, start, number)
}

func appendName(b []byte, name string) []byte {
	return append(append(b, byte(len(name))), name...)
}

// moveSize is the length of a move record, to refuse and to allocate by.
func moveSize(name string, entries int) int {
	return frameSize + 1 + 1 + len(name) + 4 + entries*entrySize
}

// change is a record's body, read.
type change struct {
	name    string
	own     *ownership // nil for a move
	entries []Entry
}

var errBody = errors.New("record does not read as one")

// parseBody reads what appendOwn and appendMove wrote. It fails on anything
// that they would not write, so a checksum that matches by chance does no harm.
func parseBody(b []byte) (change, error) {
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return change{}, errBody
	}
	kind, c, b := b[0], change{name: string(b[2 : 2+int(b[1])])}, b[2+int(b[1]):]
	// Not CheckName: what counts as printable differs between Go releases.
	if c.name == "" {
		return change{}, errBody
	}
	switch kind {
	case kindOwn:
		return parseOwn(c, b)
	case kindMove:
		return parseMove(c, b)
	}
	return change{}, errBody
}

func parseOwn(c change, b []byte) (change, error) {
	if len(b) < 13 || b[8] > 1 || uint64(len(b)-13) != uint64(binary.LittleEndian.Uint32(b[9:])) {
		return change{}, errBody
	}
	c.own = &ownership{
		epoch:   binary.LittleEndian.Uint64(b),
		claimed: b[8] == 1,
		scope:   string(b[13:]),
	}
	return c, nil
}

func parseMove(c change, b []byte) (change, error) {
	if len(b) < 4 || uint64(len(b)-4) != uint64(binary.LittleEndian.Uint32(b))*entrySize {
		return change{}, errBody
	}
	b = b[4:]
	c.entries = make([]Entry, len(b)/entrySize)
	for i := range c.entries {
		e := b[i*entrySize : (i+1)*entrySize]
		c.entries[i].Key, _ = ParseKey(e[:KeySize])
		if err := c.entries[i].Cursor.UnmarshalBinary(e[KeySize:]); err != nil {
			return change{}, err
		}
	}
	return c, nil
}
