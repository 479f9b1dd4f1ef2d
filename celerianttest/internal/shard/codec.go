package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/celeriant/celeriant-go/msg"
)

// A stored record is a header of three little-endian 32-bit words (the length of
// the body, the body's CRC-32C, the CRC-32C of the first two words) and the
// body. The header has a checksum of its own so that a damaged length cannot
// pass for a torn tail and take the rest of the log with it.
const headerSize = 12

// maxBody bounds the body of a stored record, in bytes.
const maxBody = 1<<31 - 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrTorn means that the input ends inside a record: the tail of a log whose
// writer was killed. The bytes before it are intact.
var ErrTorn = errors.New("torn record")

// ErrCorrupt means that a record is complete but not what was stored.
var ErrCorrupt = errors.New("corrupt record")

// Append appends the stored form of the record.
func (r *Record) Append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	dst = r.appendBody(dst)
	body := dst[start+headerSize:]
	if len(body) > maxBody {
		panic(fmt.Sprintf("shard: a record of %d bytes exceeds the limit of %d", len(body), maxBody))
	}
	header := dst[start : start+headerSize]
	binary.LittleEndian.PutUint32(header, uint32(len(body)))
	binary.LittleEndian.PutUint32(header[4:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(header[8:], crc32.Checksum(header[:8], castagnoli))
	return dst
}

// ParseRecord reads the record at the beginning of b and returns how many
// bytes it took. The record's payloads alias b. Errors match ErrTorn or
// ErrCorrupt.
func ParseRecord(b []byte) (*Record, int, error) {
	size, err := parseHeader(b)
	if err != nil {
		return nil, 0, err
	}
	if len(b)-headerSize < size {
		return nil, 0, fmt.Errorf("%w: %d of %d bytes", ErrTorn, len(b)-headerSize, size)
	}
	body := b[headerSize : headerSize+size]
	r, err := parseBody(b[:headerSize], body)
	if err != nil {
		return nil, 0, err
	}
	return r, headerSize + size, nil
}

// parseHeader returns the length of the body.
func parseHeader(b []byte) (int, error) {
	if len(b) < headerSize {
		return 0, fmt.Errorf("%w: %d bytes of a header", ErrTorn, len(b))
	}
	if crc32.Checksum(b[:8], castagnoli) != binary.LittleEndian.Uint32(b[8:]) {
		return 0, fmt.Errorf("%w: header checksum", ErrCorrupt)
	}
	size := binary.LittleEndian.Uint32(b)
	if size > maxBody {
		return 0, fmt.Errorf("%w: length %d exceeds the limit of %d", ErrCorrupt, size, maxBody)
	}
	return int(size), nil
}

func parseBody(header, body []byte) (*Record, error) {
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(header[4:]) {
		return nil, fmt.Errorf("%w: body checksum", ErrCorrupt)
	}
	d := decoder{rest: body}
	r := d.record()
	if d.err != nil {
		return nil, d.err
	}
	if len(d.rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrCorrupt, len(d.rest))
	}
	return r, nil
}

func (r *Record) appendBody(dst []byte) []byte {
	dst = append(dst, byte(r.Kind))
	dst = binary.AppendUvarint(dst, r.Time)
	dst = append(dst, r.ClientID[:]...)
	dst = appendOptID(dst, r.UserID)
	switch r.Kind {
	case RecordWrite:
		dst = binary.AppendUvarint(dst, uint64(len(r.Writes)))
		for i := range r.Writes {
			dst = r.Writes[i].append(dst)
		}
	case RecordDelete:
		dst = binary.AppendUvarint(dst, uint64(len(r.Deletes)))
		for i := range r.Deletes {
			dst = r.Deletes[i].append(dst)
		}
	case RecordTrim:
		dst = appendKey(dst, r.Trim.Key)
		dst = appendNumbers(dst, r.Trim.KeepFrom, r.Trim.MaxVersion, r.Trim.MaxEventSeq)
	case RecordSchema:
		dst = append(dst, r.Schema.Key.Org[:]...)
		dst = append(dst, r.Schema.Key.Type[:]...)
		dst = appendNumbers(dst, r.Schema.Key.Major, r.Schema.Key.Minor)
		dst = append(dst, byte(r.Schema.Type))
		dst = binary.AppendUvarint(dst, uint64(len(r.Schema.Text)))
		dst = append(dst, r.Schema.Text...)
	}
	return dst
}

func (e *WriteEntry) append(dst []byte) []byte {
	dst = appendKey(dst, e.Key)
	dst = appendNumbers(dst, e.Batch.Version, e.MaxVersion, e.MaxEventSeq, e.MinVersion, uint64(len(e.Batch.Events)))
	for i := range e.Batch.Events {
		dst = appendEvent(dst, &e.Batch.Events[i])
	}
	return dst
}

func (e *DeleteEntry) append(dst []byte) []byte {
	dst = appendKey(dst, e.Key)
	flags := byte(0)
	if e.AllowRecreate {
		flags |= 1
	}
	if e.AllowSequenceContinuation {
		flags |= 2
	}
	return appendNumbers(append(dst, flags), e.MaxVersion, e.MaxEventSeq)
}

func appendEvent(dst []byte, e *msg.Event) []byte {
	dst = appendNumbers(dst, e.ClientSeq, e.EventSeq, e.Timestamp, e.Major, e.Minor)
	dst = appendOptID(dst, e.EventID)
	if iv, set := e.IV.Get(); set {
		dst = append(append(dst, 1), iv[:]...)
	} else {
		dst = append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Value)))
	return append(dst, e.Value...)
}

func appendKey(dst []byte, k msg.Key) []byte {
	dst = append(dst, k.Org[:]...)
	dst = append(dst, k.Type[:]...)
	return append(dst, k.Aggregate[:]...)
}

func appendOptID(dst []byte, id msg.Opt[msg.ID]) []byte {
	if !id.Set {
		return append(dst, 0)
	}
	return append(append(dst, 1), id.Value[:]...)
}

func appendNumbers(dst []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}
