package checkpoint

import (
	"encoding/binary"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// The binary forms are fixed in width and stored for years: a change of layout
// is a new format number, never a new meaning of the old one.
const (
	cursorFormat = 1
	// CursorSize is the length of a cursor's binary form.
	CursorSize = 1 + 8 + 8 + 1 + 8 + 8 + 16 + 8
	// KeySize is the length of a key's binary form.
	KeySize = 3 * 16
)

// AppendBinary appends the cursor in CursorSize bytes: a format byte, life,
// version, a deleted byte, and the anchor. Integers are big-endian.
// AppendBinary never fails.
func (c Cursor) AppendBinary(b []byte) ([]byte, error) { return c.append(b), nil }

// MarshalBinary returns what AppendBinary appends and never fails.
func (c Cursor) MarshalBinary() ([]byte, error) { return c.append(make([]byte, 0, CursorSize)), nil }

func (c Cursor) append(b []byte) []byte {
	b = append(b, cursorFormat)
	b = binary.BigEndian.AppendUint64(b, c.Life)
	b = binary.BigEndian.AppendUint64(b, c.Version)
	b = append(b, byte(rank(c.Deleted)))
	b = binary.BigEndian.AppendUint64(b, c.Anchor.ServerTimestamp)
	b = binary.BigEndian.AppendUint64(b, c.Anchor.EventSeq)
	b = append(b, c.Anchor.ClientID[:]...)
	return binary.BigEndian.AppendUint64(b, c.Anchor.Hash)
}

// UnmarshalBinary reads what AppendBinary wrote and leaves c alone if it
// cannot: a [*VersionError] for a format of another release, a [*DamagedError]
// for anything else, cursors that are not [Cursor.Storable] among it.
func (c *Cursor) UnmarshalBinary(b []byte) error {
	var read Cursor
	if err := read.read(b); err != nil {
		return err
	}
	if !read.Storable() {
		return &DamagedError{Where: "cursor", Offset: 1, Reason: fmt.Sprintf("it is at %v", read)}
	}
	*c = read
	return nil
}

func (c *Cursor) read(b []byte) error {
	if len(b) > 0 && b[0] != cursorFormat {
		return &VersionError{Where: "cursor", Found: uint64(b[0]), Supported: cursorFormat}
	}
	if len(b) != CursorSize {
		return &DamagedError{Where: "cursor", Offset: -1, Reason: fmt.Sprintf("%d bytes instead of %d", len(b), CursorSize)}
	}
	if b[17] > 1 {
		return &DamagedError{Where: "cursor", Offset: 17, Reason: fmt.Sprintf("deleted is %d instead of 0 or 1", b[17])}
	}
	*c = Cursor{
		Life:    binary.BigEndian.Uint64(b[1:]),
		Version: binary.BigEndian.Uint64(b[9:]),
		Deleted: b[17] == 1,
		Anchor: Anchor{
			ServerTimestamp: binary.BigEndian.Uint64(b[18:]),
			EventSeq:        binary.BigEndian.Uint64(b[26:]),
			ClientID:        msg.ID(b[34:50]),
			Hash:            binary.BigEndian.Uint64(b[50:]),
		},
	}
	return nil
}

// AppendKey appends the key in KeySize bytes: organisation, type, aggregate.
// The order of the bytes is the order of the keys.
func AppendKey(b []byte, k msg.Key) []byte {
	b = append(b, k.Org[:]...)
	b = append(b, k.Type[:]...)
	return append(b, k.Aggregate[:]...)
}

// ParseKey reads what AppendKey appended, or returns a [*DamagedError].
func ParseKey(b []byte) (msg.Key, error) {
	if len(b) != KeySize {
		return msg.Key{}, &DamagedError{Where: "key", Offset: -1, Reason: fmt.Sprintf("%d bytes instead of %d", len(b), KeySize)}
	}
	return msg.Key{Org: msg.ID(b[:16]), Type: msg.ID(b[16:32]), Aggregate: msg.ID(b[32:])}, nil
}
