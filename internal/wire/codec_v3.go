package wire

import (
	"errors"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/tinylib/msgp/msgp"
)

// The primitives of version 3: MessagePack, shortest forms written, all forms
// the reference accepts read. Protocol section 5.2.

// First bytes of MessagePack values.
const (
	fixmapV3   = 0x80
	fixarrayV3 = 0x90
	fixstrV3   = 0xa0
	nilV3      = 0xc0
	falseV3    = 0xc2
	trueV3     = 0xc3
	bin8V3     = 0xc4
	bin16V3    = 0xc5
	bin32V3    = 0xc6
	uint8V3    = 0xcc
	int64V3    = 0xd3
	str8V3     = 0xd9
	str32V3    = 0xdb
	array16V3  = 0xdc
	array32V3  = 0xdd
	map16V3    = 0xde
	map32V3    = 0xdf
	negfixV3   = 0xe0
)

func isArrayV3(lead byte) bool {
	return lead&0xf0 == fixarrayV3 || lead == array16V3 || lead == array32V3
}

func isMapV3(lead byte) bool {
	return lead&0xf0 == fixmapV3 || lead == map16V3 || lead == map32V3
}

func isStringV3(lead byte) bool {
	return lead&0xe0 == fixstrV3 || (lead >= str8V3 && lead <= str32V3)
}

func isBinV3(lead byte) bool { return lead >= bin8V3 && lead <= bin32V3 }

func isIntV3(lead byte) bool {
	return lead < fixmapV3 || lead >= negfixV3 || (lead >= uint8V3 && lead <= int64V3)
}

// lead returns the first byte of the next value, nil's when nothing is left:
// then a failure is noted already.
func (c *codec) lead(want string) (byte, bool) {
	if c.pos >= len(c.in) {
		c.short(want)
		return nilV3, false
	}
	return c.in[c.pos], true
}

// advance moves behind a value that ends where rest begins.
func (c *codec) advance(rest []byte) { c.pos = len(c.in) - len(rest) }

// wrong fails because a value of another kind was wanted.
//
//go:noinline
func (c *codec) wrong(want string) { c.fail("want %s, found 0x%02x", want, c.in[c.pos]) }

func (c *codec) readPresentV3() bool {
	lead, ok := c.lead("an optional value")
	if lead == nilV3 {
		if ok {
			c.pos++
		}
		return false
	}
	return true
}

func (c *codec) readBoolV3() bool {
	lead, ok := c.lead("a bool")
	if lead != trueV3 && lead != falseV3 {
		if ok {
			c.wrong("a bool")
		}
		return false
	}
	c.pos++
	return lead == trueV3
}

func (c *codec) readUintV3() uint64 {
	if c.pos < len(c.in) && c.in[c.pos] < fixmapV3 {
		v := uint64(c.in[c.pos])
		c.pos++
		return v
	}
	return c.readWideUintV3()
}

func (c *codec) readWideUintV3() uint64 {
	lead, ok := c.lead("an integer")
	if !ok {
		return 0
	}
	if !isIntV3(lead) {
		c.wrong("an integer")
		return 0
	}
	v, rest, err := msgp.ReadUint64Bytes(c.in[c.pos:])
	if err != nil {
		c.brokenInt(err)
		return 0
	}
	c.advance(rest)
	return v
}

func (c *codec) brokenInt(err error) {
	var negative msgp.UintBelowZero
	if errors.As(err, &negative) {
		c.fail("want an unsigned integer, found %d", negative.Value)
		return
	}
	c.short("an integer")
}

func (c *codec) readUintUpToV3(most uint64) uint64 {
	start := c.pos
	v := c.readUintV3()
	if v > most {
		c.pos = start
		c.fail("want an integer of at most %d, found %d", most, v)
		return 0
	}
	return v
}

// readIDV3 reads sixteen bytes or an integer of any width.
func (c *codec) readIDV3(p *msg.ID) {
	if c.left() >= 18 && c.in[c.pos] == bin8V3 && c.in[c.pos+1] == 16 {
		*p = msg.ID(c.in[c.pos+2 : c.pos+18])
		c.pos += 18
		return
	}
	*p = msg.ID{}
	lead, ok := c.lead("an id")
	switch {
	case !ok:
	case isIntV3(lead):
		*p = msg.IDFromUint64(c.readWideUintV3())
	case isBinV3(lead):
		start := c.pos
		b := c.readBinV3()
		if c.err == nil && len(b) != len(p) {
			c.pos = start
			c.fail("an id has %d bytes, not %d", len(p), len(b))
			return
		}
		copy(p[:], b)
	default:
		c.wrong("an id")
	}
}

// readBinV3 reads bin 8, 16 or 32.
func (c *codec) readBinV3() []byte {
	return c.readSizedV3(1<<(c.in[c.pos]-bin8V3), "a byte string")
}

// readSizedV3 reads the bytes behind a first byte and a length of 1, 2 or 4 bytes.
// The length is compared before it becomes an int, which may have 32 bits.
func (c *codec) readSizedV3(width int, want string) []byte {
	head := c.take(1+width, want)
	if head == nil {
		return nil
	}
	var n uint64
	for _, b := range head[1:] {
		n = n<<8 | uint64(b)
	}
	if n > uint64(c.left()) {
		c.pos -= 1 + width // where the value begins
		c.short(want)
		return nil
	}
	return c.take(int(n), want)
}

func (c *codec) readStringV3() []byte {
	lead, ok := c.lead("a text")
	if !ok {
		return nil
	}
	if !isStringV3(lead) {
		c.wrong("a text")
		return nil
	}
	if lead >= str8V3 {
		return c.readSizedV3(1<<(lead-str8V3), "a text")
	}
	n := int(lead & 0x1f)
	c.pos++
	return c.take(n, "a text")
}

// readBytesV3 reads a byte string as bin, as str, or as an array of integers;
// only the last is copied.
func (c *codec) readBytesV3() []byte {
	if c.left() >= 2 && c.in[c.pos] == bin8V3 {
		start := c.pos + 2
		if end := start + int(c.in[c.pos+1]); end <= len(c.in) {
			c.pos = end
			return c.in[start:end:end]
		}
	}
	lead, ok := c.lead("a byte string")
	switch {
	case !ok:
		return nil
	case isBinV3(lead):
		return c.readBinV3()
	case isStringV3(lead):
		return c.readStringV3()
	case isArrayV3(lead):
		b := make([]byte, c.readLengthV3(1))
		for i := range b {
			b[i] = c.readElementV3()
		}
		return b
	}
	c.wrong("a byte string")
	return nil
}

func (c *codec) readElementV3() byte { return byte(c.readUintUpToV3(1<<8 - 1)) }

// readIVV3 reads twelve bytes as bin or as an array of integers.
func (c *codec) readIVV3(p *msg.IV) {
	start := c.pos
	lead, ok := c.lead("an iv")
	if !ok {
		return
	}
	if !isBinV3(lead) && !isArrayV3(lead) {
		c.wrong("an iv")
		return
	}
	b := c.readBytesV3()
	if c.err == nil && len(b) != len(p) {
		c.pos = start
		c.fail("an iv has %d bytes, not %d", len(p), len(b))
		return
	}
	copy(p[:], b)
}

// readLengthV3 reads the header of an array whose elements take at least
// least bytes each.
func (c *codec) readLengthV3(least int) int {
	lead, ok := c.lead("a list")
	if !ok {
		return 0
	}
	if !isArrayV3(lead) {
		c.wrong("a list")
		return 0
	}
	n, rest, err := msgp.ReadArrayHeaderBytes(c.in[c.pos:])
	return c.boundV3(n, rest, err, least)
}

// readMapLengthV3 reads the header of a map whose entries take at least least
// bytes each.
func (c *codec) readMapLengthV3(least int) int {
	lead, ok := c.lead("a map")
	if !ok {
		return 0
	}
	if !isMapV3(lead) {
		c.wrong("a map")
		return 0
	}
	n, rest, err := msgp.ReadMapHeaderBytes(c.in[c.pos:])
	return c.boundV3(n, rest, err, least)
}

func (c *codec) boundV3(n uint32, rest []byte, err error, least int) int {
	switch {
	case err != nil:
		c.short("a count")
		return 0
	case uint64(n) > uint64(len(rest)/least):
		c.fail("a count of %d does not fit the %d bytes left", n, len(rest))
		return 0
	}
	c.advance(rest)
	return int(n)
}

func (c *codec) writeBoolV3(v bool) { c.out = msgp.AppendBool(c.out, v) }

func (c *codec) writeUintV3(v uint64) { c.out = msgp.AppendUint64(c.out, v) }

func (c *codec) writeIDV3(p *msg.ID) {
	c.out = append(c.out, bin8V3, 16)
	c.out = append(c.out, p[:]...)
}

func (c *codec) writeBytesV3(b []byte) { c.out = msgp.AppendBytes(c.out, b) }

func (c *codec) writeStringV3(s string) { c.out = msgp.AppendString(c.out, s) }
