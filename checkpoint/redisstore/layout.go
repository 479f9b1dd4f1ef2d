package redisstore

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// keysOf returns the keys of a subscription, and of a change with this id.
func (s *Store) keysOf(name, op string) []string {
	tag := s.tag(name)
	return []string{tag + "own", tag + "cursors", tag + "records", tag + "keys", tag + "op:" + op}
}

// tag begins the keys of a subscription. The braces choose the slot; empty ones would
// not.
func (s *Store) tag(name string) string {
	if name == "" {
		return s.prefix + "{store}:"
	}
	return s.prefix + "{" + hex.EncodeToString([]byte(name)) + "}:"
}

func (s *Store) names() string { return s.prefix + "names" }

func (s *Store) channel() string { return s.prefix + "changes" }

const (
	ownFormat = 1
	ownHead   = 1 + 8 + 1 + 16 + 8
)

// own is an ownership as it is stored. Inquiries count what must come after every
// change under way: one that was sent before then compares another own.
type own struct {
	checkpoint.Ownership
	inquiries uint64
}

func (o own) encode() string {
	b := binary.BigEndian.AppendUint64([]byte{ownFormat}, o.Epoch)
	if o.Claimed {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = append(b, o.Token[:]...)
	b = binary.BigEndian.AppendUint64(b, o.inquiries)
	return string(append(b, o.Scope...))
}

// decodeOwn reads an own; an empty text is the zero one.
func decodeOwn(where, text string) (own, error) {
	var o own
	switch {
	case text == "":
		return o, nil
	case text[0] != ownFormat:
		return o, &checkpoint.VersionError{Where: where, Found: uint64(text[0]), Supported: ownFormat}
	case len(text) < ownHead || text[9] > 1:
		return o, &checkpoint.DamagedError{Where: where, Offset: -1, Reason: fmt.Sprintf("%d bytes are no claim", len(text))}
	}
	b := []byte(text)
	o.Epoch = binary.BigEndian.Uint64(b[1:])
	o.Claimed = b[9] == 1
	o.Token = checkpoint.Token(b[10:26])
	o.inquiries = binary.BigEndian.Uint64(b[26:])
	o.Scope = string(b[ownHead:])
	return o, nil
}

// bounds are those of a prefix in a sorted set of keys with one score. No byte of valid
// UTF-8 is 0xff.
func bounds(prefix string) (low, high string) { return "[" + prefix, "(" + prefix + "\xff" }

func decodeCursor(where, text string) (c checkpoint.Cursor, err error) {
	if text == "" {
		return c, nil
	}
	if err := c.UnmarshalBinary([]byte(text)); err != nil {
		return c, fmt.Errorf("%s: %w", where, err)
	}
	return c, nil
}

func encodeCursor(c checkpoint.Cursor) string {
	b, _ := c.MarshalBinary() // never fails
	return string(b)
}
