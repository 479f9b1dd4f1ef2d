package checkpoint

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/celeriant/celeriant-go/msg"
)

// The text form of a cursor is its fields, joined by dots: the number of the
// form, life, version, "d" if deleted, and unless the anchor is zero its server
// timestamp, event sequence, client and hash.
//
//	1.0.7.1700000000007.21.00000000000000000000000000000009.9e3779b97f4a7c15
//	1.2.0.d
const textFormat = "1"

// AppendText appends the cursor as text, such as
// "1.0.7.1700000000007.21.00000000000000000000000000000009.9e3779b97f4a7c15":
// ASCII without spaces, in which a form number, life, version and anchor are
// joined by dots. AppendText never fails.
func (c Cursor) AppendText(b []byte) ([]byte, error) {
	b = append(b, textFormat...)
	b = strconv.AppendUint(append(b, '.'), c.Life, 10)
	b = strconv.AppendUint(append(b, '.'), c.Version, 10)
	if c.Deleted {
		b = append(b, ".d"...)
	}
	if c.Anchor == (Anchor{}) {
		return b, nil
	}
	b = strconv.AppendUint(append(b, '.'), c.Anchor.ServerTimestamp, 10)
	b = strconv.AppendUint(append(b, '.'), c.Anchor.EventSeq, 10)
	b = hex.AppendEncode(append(b, '.'), c.Anchor.ClientID[:])
	return fmt.Appendf(append(b, '.'), "%016x", c.Anchor.Hash), nil
}

// MarshalText returns what AppendText appends and never fails.
func (c Cursor) MarshalText() ([]byte, error) { return c.AppendText(nil) }

// UnmarshalText reads what AppendText wrote, in exactly that form, and leaves c
// alone if it cannot: a [*VersionError] for a form of a later release, a
// [*DamagedError] for anything else, cursors that are not [Cursor.Storable]
// among it.
func (c *Cursor) UnmarshalText(text []byte) error {
	read, err := parseCursor(string(text))
	if err != nil {
		return err
	}
	*c = read
	return nil
}

func parseCursor(text string) (c Cursor, err error) {
	bad := func(reason string) (Cursor, error) {
		return Cursor{}, &DamagedError{Where: "cursor " + brief(text), Offset: -1, Reason: reason}
	}
	parts := strings.Split(text, ".")
	if form, err := strconv.ParseUint(parts[0], 10, 8); err == nil && parts[0] != textFormat {
		return Cursor{}, &VersionError{Where: "cursor " + brief(text), Found: form, Supported: 1}
	}
	if len(parts) < 3 || parts[0] != textFormat {
		return bad("want 1.LIFE.VERSION and more")
	}
	numbers := numbers{}
	c.Life, c.Version = numbers.decimal(parts[1]), numbers.decimal(parts[2])
	rest := parts[3:]
	if len(rest) > 0 && rest[0] == "d" {
		c.Deleted, rest = true, rest[1:]
	}
	switch len(rest) {
	case 0:
	case 4:
		c.Anchor = Anchor{ServerTimestamp: numbers.decimal(rest[0]), EventSeq: numbers.decimal(rest[1])}
		var client Token
		numbers.note(client.UnmarshalText([]byte(rest[2])))
		c.Anchor.ClientID = msg.ID(client)
		hash, err := strconv.ParseUint(rest[3], 16, 64)
		numbers.note(err)
		c.Anchor.Hash = hash
	default:
		return bad("an anchor has four parts")
	}
	if numbers.err != nil {
		return bad(numbers.err.Error())
	}
	if !c.Storable() {
		return bad("life or version end below 2⁶³")
	}
	if back, _ := c.AppendText(nil); string(back) != text {
		return bad("it would be written as " + string(back))
	}
	return c, nil
}

// numbers keeps the first error of several readings.
type numbers struct{ err error }

func (n *numbers) note(err error) {
	if n.err == nil {
		n.err = err
	}
}

func (n *numbers) decimal(s string) uint64 {
	v, err := strconv.ParseUint(s, 10, 64)
	n.note(err)
	return v
}
