package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/hamba/avro/v2"
)

const (
	// avroDepth bounds nested values. A record that contains itself without a
	// choice would otherwise recurse for ever on no bytes at all.
	avroDepth = 10_000
	// avroSteps bounds, together with the event's size, the values walked
	// through: an array can claim 2⁶² items that take no bytes.
	avroSteps = 1 << 20
)

var errAvroEnds = errors.New("ends in the middle of a value")

// datum is a walk through one binary datum. Section "Binary encoding" of the
// Avro specification.
type datum struct {
	rest  []byte
	size  int
	steps int
}

// walk consumes one value of type s and decodes nothing that is not needed to
// find the value's end and to know that it is valid.
func (d *datum) walk(s avro.Schema, depth int) error {
	if depth > avroDepth {
		return fmt.Errorf("nested deeper than %d", avroDepth)
	}
	if d.steps--; d.steps < 0 {
		return errors.New("too many values for its size")
	}
	switch s := s.(type) {
	case *avro.NullSchema:
		return nil
	case *avro.PrimitiveSchema:
		return d.primitive(s.Type())
	case *avro.RefSchema:
		return d.walk(s.Schema(), depth+1)
	case *avro.RecordSchema:
		return d.record(s, depth)
	case *avro.EnumSchema:
		_, err := d.index("enum symbol", len(s.Symbols()))
		return err
	case *avro.FixedSchema:
		_, err := d.take(int64(s.Size()))
		return err
	case *avro.ArraySchema:
		return d.blocks(func() error { return d.walk(s.Items(), depth+1) })
	case *avro.MapSchema:
		return d.blocks(func() error {
			if err := d.primitive(avro.String); err != nil {
				return err
			}
			return d.walk(s.Values(), depth+1)
		})
	case *avro.UnionSchema:
		branch, err := d.index("union branch", len(s.Types()))
		if err != nil {
			return err
		}
		return d.walk(s.Types()[branch], depth+1)
	}
	return fmt.Errorf("type %s is not supported", s.Type())
}

func (d *datum) record(s *avro.RecordSchema, depth int) error {
	for _, field := range s.Fields() {
		if err := d.walk(field.Type(), depth+1); err != nil {
			return fieldError(field.Name(), err)
		}
	}
	return nil
}

func (d *datum) primitive(t avro.Type) error {
	switch t {
	case avro.Boolean:
		b, err := d.take(1)
		if err == nil && b[0] > 1 {
			return fmt.Errorf("byte %d at offset %d is no boolean", b[0], d.offset()-1)
		}
		return err
	case avro.Int:
		n, err := d.long()
		if err == nil && (n < math.MinInt32 || n > math.MaxInt32) {
			return fmt.Errorf("%d before offset %d does not fit an int", n, d.offset())
		}
		return err
	case avro.Long:
		_, err := d.long()
		return err
	case avro.Float:
		_, err := d.take(4)
		return err
	case avro.Double:
		_, err := d.take(8)
		return err
	case avro.Bytes, avro.String:
		return d.sized(t)
	}
	return fmt.Errorf("type %s is not supported", t)
}

func (d *datum) sized(t avro.Type) error {
	n, err := d.long()
	if err != nil {
		return err
	}
	b, err := d.take(n)
	if err == nil && t == avro.String && !utf8.Valid(b) {
		return fmt.Errorf("string before offset %d is no valid UTF-8", d.offset())
	}
	return err
}

// blocks consumes the blocks of an array or map. A negative count is followed
// by the block's size in bytes, which only those who skip it need.
func (d *datum) blocks(item func() error) error {
	for {
		n, err := d.long()
		if err != nil || n == 0 {
			return err
		}
		count := uint64(n)
		if n < 0 {
			count = -count
			if _, err := d.long(); err != nil {
				return err
			}
		}
		for range count {
			if err := item(); err != nil {
				return err
			}
		}
	}
}

// index reads a number that must lie in [0, limit).
func (d *datum) index(what string, limit int) (int64, error) {
	n, err := d.long()
	if err == nil && (n < 0 || n >= int64(limit)) {
		return 0, fmt.Errorf("%s %d before offset %d: there are %d", what, n, d.offset(), limit)
	}
	return n, err
}

// long reads a variable-length zig-zag integer.
func (d *datum) long() (int64, error) {
	n, used := binary.Varint(d.rest)
	switch {
	case used == 0:
		return 0, errAvroEnds
	case used < 0:
		return 0, fmt.Errorf("integer at offset %d exceeds 64 bits", d.offset())
	}
	d.rest = d.rest[used:]
	return n, nil
}

func (d *datum) take(n int64) ([]byte, error) {
	if n < 0 {
		return nil, fmt.Errorf("length %d before offset %d is negative", n, d.offset())
	}
	if n > int64(len(d.rest)) {
		return nil, errAvroEnds
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken, nil
}

// offset is how many bytes were consumed.
func (d *datum) offset() int { return d.size - len(d.rest) }

// pathError is an error inside a record's field.
type pathError struct {
	path  string
	depth int
	err   error
}

// pathNames bounds the names in an error; the innermost are left out.
const pathNames = 10

func (e *pathError) Error() string { return "field " + e.path + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// fieldError puts a field's name in front of the path to an error.
func fieldError(name string, err error) error {
	inner, ok := err.(*pathError)
	if !ok {
		return &pathError{path: name, depth: 1, err: err}
	}
	if inner.depth++; inner.depth > pathNames {
		inner.path = name + "…"
		return inner
	}
	inner.path = name + "." + inner.path
	return inner
}
