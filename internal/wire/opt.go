package wire

import (
	"fmt"
	"unicode/utf8"

	"github.com/celeriant/celeriant-go/msg"
)

// present writes whether a value follows, or reads it. Version 2 has a tag in
// front of every optional value, version 3 a nil in place of an absent one.
func (c *codec) present(set bool) bool {
	switch c.mode {
	case readV3:
		return c.readPresentV3()
	case readV2:
		return c.readTagV2()
	case writeV3:
		if !set {
			c.out = append(c.out, nilV3)
		}
	case writeV2:
		c.writeTagV2(set)
	}
	return set
}

func (c *codec) optU64(p *msg.Opt[uint64]) {
	if set := c.present(p.Set); c.reading() {
		*p = msg.Opt[uint64]{Set: set}
	}
	if p.Set {
		c.u64(&p.Value)
	}
}

func (c *codec) optID(p *msg.Opt[msg.ID]) {
	if set := c.present(p.Set); c.reading() {
		*p = msg.Opt[msg.ID]{Set: set}
	}
	if p.Set {
		c.id(&p.Value)
	}
}

func (c *codec) optText(p *msg.Opt[string]) {
	if set := c.present(p.Set); c.reading() {
		*p = msg.Opt[string]{Set: set}
	}
	if p.Set {
		c.text(&p.Value)
	}
}

func (c *codec) optIV(p *msg.Opt[msg.IV]) {
	if set := c.present(p.Set); c.reading() {
		*p = msg.Opt[msg.IV]{Set: set}
	}
	if !p.Set {
		return
	}
	switch c.mode {
	case readV3:
		c.readIVV3(&p.Value)
	case readV2:
		c.readIVV2(&p.Value)
	case writeV3:
		c.writeBytesV3(p.Value[:])
	case writeV2:
		c.out = append(c.out, p.Value[:]...)
	}
}

// optAccess is an access level: 1 and 2 in version 3, a 32-bit variant index
// of 0 and 1 in version 2. Protocol section 6.8.
func (c *codec) optAccess(p *msg.Opt[msg.AccessLevel]) {
	if set := c.present(p.Set); c.reading() {
		*p = msg.Opt[msg.AccessLevel]{Set: set}
	}
	if !p.Set {
		return
	}
	switch c.mode {
	case readV3:
		p.Value = c.checkAccess(c.readUintV3())
	case readV2:
		p.Value = c.checkAccess(uint64(c.readUint32V2()) + 1)
	case writeV3:
		c.writeUintV3(uint64(c.fitAccess(p.Value)))
	case writeV2:
		c.writeUint32V2(uint32(c.fitAccess(p.Value)) - 1)
	}
}

func (c *codec) checkAccess(level uint64) msg.AccessLevel {
	if level < uint64(msg.ReadWrite) || level > uint64(msg.ReadOnly) {
		c.fail("want an access level of 1 or 2, found %d", level)
		return 0
	}
	return msg.AccessLevel(level)
}

func (c *codec) fitAccess(level msg.AccessLevel) msg.AccessLevel {
	if level != msg.ReadWrite && level != msg.ReadOnly {
		c.refuse(fmt.Sprintf("access level %d is neither 1 nor 2", level))
	}
	return level
}

func (c *codec) checkText(b []byte) string {
	if !utf8.Valid(b) {
		c.fail("a text of %d bytes is not UTF-8", len(b))
		return ""
	}
	return string(b)
}

func (c *codec) fitText(s string) string {
	if !utf8.ValidString(s) {
		c.refuse(fmt.Sprintf("a text of %d bytes is not UTF-8", len(s)))
	}
	return s
}
