package wire

import (
	"encoding/binary"

	"github.com/celeriant/celeriant-go/msg"
)

// The primitives of version 2: fixed-width little-endian integers, one after
// another, without tags. Protocol section 5.3.

// take returns the next n bytes, nil when fewer are left.
func (c *codec) take(n int, want string) []byte {
	if c.left() < n {
		c.short(want)
		return nil
	}
	b := c.in[c.pos : c.pos+n : c.pos+n]
	c.pos += n
	return b
}

func (c *codec) readByteV2() uint8 {
	if c.pos >= len(c.in) {
		c.short("a byte")
		return 0
	}
	b := c.in[c.pos]
	c.pos++
	return b
}

// readTagV2 reads a bool or the tag of an optional value.
func (c *codec) readTagV2() bool {
	b := c.readByteV2()
	if b > 1 {
		c.pos--
		c.fail("want 0 or 1, found %d", b)
		return false
	}
	return b == 1
}

func (c *codec) readUint32V2() uint32 {
	b := c.take(4, "a 32-bit integer")
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

func (c *codec) readUint64V2() uint64 {
	if c.left() < 8 {
		c.short("a 64-bit integer")
		return 0
	}
	v := binary.LittleEndian.Uint64(c.in[c.pos:])
	c.pos += 8
	return v
}

// readIDV2 reverses the bytes: least significant first on the wire.
func (c *codec) readIDV2(p *msg.ID) {
	if c.left() < 16 {
		c.short("an id")
		*p = msg.ID{}
		return
	}
	lo := binary.LittleEndian.Uint64(c.in[c.pos:])
	hi := binary.LittleEndian.Uint64(c.in[c.pos+8:])
	binary.BigEndian.PutUint64(p[:8], hi)
	binary.BigEndian.PutUint64(p[8:], lo)
	c.pos += 16
}

// readLengthV2 reads the byte count of a string or the element count of a
// list, whose elements take at least least bytes each.
func (c *codec) readLengthV2(least int) int {
	n := c.readUint64V2()
	if left := c.left(); n > uint64(left/least) {
		c.pos -= 8 // read just now; a failed read gives 0
		c.fail("a count of %d does not fit the %d bytes left", n, left)
		return 0
	}
	return int(n)
}

func (c *codec) readBytesV2() []byte {
	n := c.readLengthV2(1)
	return c.take(n, "a byte string")
}

func (c *codec) readIVV2(p *msg.IV) {
	*p = msg.IV{}
	copy(p[:], c.take(len(p), "an iv"))
}

func (c *codec) writeTagV2(v bool) {
	if v {
		c.out = append(c.out, 1)
	} else {
		c.out = append(c.out, 0)
	}
}

func (c *codec) writeUint32V2(v uint32) { c.out = binary.LittleEndian.AppendUint32(c.out, v) }

func (c *codec) writeUint64V2(v uint64) { c.out = binary.LittleEndian.AppendUint64(c.out, v) }

func (c *codec) writeIDV2(p *msg.ID) {
	hi, lo := p.Uint64s()
	c.writeUint64V2(lo)
	c.writeUint64V2(hi)
}

func (c *codec) writeBytesV2(b []byte) {
	c.writeUint64V2(uint64(len(b)))
	c.out = append(c.out, b...)
}

func (c *codec) writeStringV2(s string) {
	c.writeUint64V2(uint64(len(s)))
	c.out = append(c.out, s...)
}
