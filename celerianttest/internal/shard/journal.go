package shard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ReadRecords calls fn for each stored record of a log, in order, and returns
// how many bytes of the log are intact: where the next record belongs.
//
// A torn tail ends the log without an error: an incomplete record, or one that
// is damaged and has nothing but zeros behind it (a file that was extended
// before its content reached the disk). Damage with anything behind it is
// ErrCorrupt, for cutting there would lose records that were acknowledged.
// Errors of fn and of r end the walk and are returned; the record fn refused
// does not count as intact. Records keep their own memory.
func ReadRecords(r io.Reader, fn func(*Record) error) (intact int64, err error) {
	for {
		record, size, err := readRecord(r)
		if errors.Is(err, io.EOF) || errors.Is(err, ErrTorn) {
			return intact, nil
		}
		if err != nil {
			return intact, fmt.Errorf("record at byte %d: %w", intact, err)
		}
		if err := fn(record); err != nil {
			return intact, err
		}
		intact += int64(size)
	}
}

func readRecord(r io.Reader) (*Record, int, error) {
	var header [headerSize]byte
	n, err := io.ReadFull(r, header[:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, fmt.Errorf("%w: %d bytes of a header", ErrTorn, n)
	}
	if err != nil {
		return nil, 0, err
	}
	size, err := parseHeader(header[:])
	if err != nil {
		return nil, 0, zerosOr(r, err)
	}
	body, err := readBody(r, size)
	if err != nil {
		return nil, 0, err
	}
	record, err := parseBody(header[:], body)
	if err != nil {
		return nil, 0, zerosOr(r, err)
	}
	return record, headerSize + size, nil
}

// readBody reads exactly size bytes into a slice of their own. A length alone
// allocates little: the slice grows as bytes arrive.
func readBody(r io.Reader, size int) ([]byte, error) {
	const step = 1 << 20
	body := make([]byte, min(size, step))
	for have := 0; ; {
		n, err := io.ReadFull(r, body[have:])
		have += n
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w: %d of %d bytes", ErrTorn, have, size)
		}
		if err != nil || have == size {
			return body, err
		}
		grown := make([]byte, min(size, 2*have))
		copy(grown, body)
		body = grown
	}
}

// zerosOr turns damage into a torn tail if only zeros follow.
func zerosOr(r io.Reader, damage error) error {
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		if len(bytes.Trim(buffer[:n], "\x00")) > 0 {
			return damage
		}
		if errors.Is(err, io.EOF) {
			return ErrTorn
		}
		if err != nil {
			return err
		}
	}
}
