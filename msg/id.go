package msg

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/bits"
)

// ID is a 128-bit identifier in big-endian order, the order of a UUID's text.
// The zero value is the nil id. IDs are comparable and ordered as unsigned
// integers, which is also their byte order.
type ID [16]byte

// IDFromUint64 returns the id whose integer value is n.
func IDFromUint64(n uint64) ID { return IDFromUint64s(0, n) }

// IDFromUint64s returns the id whose integer value is hi·2⁶⁴ + lo.
func IDFromUint64s(hi, lo uint64) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id
}

// IDFromBytes returns the id made of exactly 16 big-endian bytes.
func IDFromBytes(b []byte) (ID, error) {
	var id ID
	if len(b) != len(id) {
		return ID{}, fmt.Errorf("msg: an id has 16 bytes, not %d", len(b))
	}
	copy(id[:], b)
	return id, nil
}

// IDFromInt returns the id with the integer value of n, which must lie in
// [0, 2¹²⁸).
func IDFromInt(n *big.Int) (ID, error) {
	if n.Sign() < 0 || n.BitLen() > 128 {
		return ID{}, fmt.Errorf("msg: %v does not fit the 128 bits of an id", n)
	}
	var id ID
	n.FillBytes(id[:])
	return id, nil
}

// ParseID reads an id from UUID text (8-4-4-4-12 hexadecimal digits, either
// case) or from 32 hexadecimal digits without dashes.
func ParseID(s string) (ID, error) {
	var id ID
	digits := s
	if len(s) == 36 {
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return ID{}, fmt.Errorf("msg: %q is not an id: dashes belong after 8, 12, 16 and 20 digits", s)
		}
		digits = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(digits) != 32 {
		return ID{}, fmt.Errorf("msg: %q is not an id: want UUID text or 32 hexadecimal digits", s)
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return ID{}, fmt.Errorf("msg: %q is not an id: %w", s, err)
	}
	return id, nil
}

// MustParseID is ParseID for constants; it panics on malformed text.
func MustParseID(s string) ID {
	id, err := ParseID(s)
	if err != nil {
		panic(err)
	}
	return id
}

// Uint64s returns the high and low halves of the id's integer value.
func (id ID) Uint64s() (hi, lo uint64) {
	return binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
}

// Int returns the id's integer value.
func (id ID) Int() *big.Int { return new(big.Int).SetBytes(id[:]) }

// Mod returns the id's integer value modulo n, the arithmetic of shard routing
// (protocol section 10). Mod panics when n is 0.
func (id ID) Mod(n uint64) uint64 {
	hi, lo := id.Uint64s()
	_, r := bits.Div64(0, hi, n)
	_, r = bits.Div64(r, lo, n)
	return r
}

// IsZero reports whether id is the nil id.
func (id ID) IsZero() bool { return id == ID{} }

// Compare returns -1, 0 or 1 as id is below, equal to or above other.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// Hex returns the 32 lower-case hexadecimal digits of the id.
func (id ID) Hex() string { return hex.EncodeToString(id[:]) }

// String returns the id as UUID text.
func (id ID) String() string {
	var text [36]byte
	return string(id.appendUUID(text[:0]))
}

// AppendText appends the id as UUID text.
func (id ID) AppendText(b []byte) ([]byte, error) { return id.appendUUID(b), nil }

// MarshalText returns the id as UUID text.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(make([]byte, 0, 36)) }

// UnmarshalText reads any form ParseID reads.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

func (id ID) appendUUID(b []byte) []byte {
	b = hex.AppendEncode(b, id[:4])
	for _, group := range [][]byte{id[4:6], id[6:8], id[8:10], id[10:]} {
		b = append(b, '-')
		b = hex.AppendEncode(b, group)
	}
	return b
}
