package wire

import (
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// mode says which way a codec goes and in which version.
type mode uint8

const (
	readV3 mode = iota
	readV2
	writeV3
	writeV2
)

// codec walks over the fields of a message. When it writes it only reads the
// message and appends to out; when it reads it takes bytes from in and sets
// every field it is shown, so that a message can be filled again and again.
// After a failure it goes on with no bytes left, so descriptions need not
// check for errors; loops over long lists do.
type codec struct {
	mode mode
	out  []byte // writing

	in     []byte // reading
	pos    int
	record *record
	origin int      // where the map form being read starts, if any
	outer  []source // what in and pos were outside of records in map form
	arena  []msg.Event
	// Of a page: how many events were allotted, how many the page before had
	// when its arena was too small, and where the batches and the present one begin.
	allotted, known, batchesAt, batchAt int
	// allowance is how many more bytes the records of lists may take in memory.
	allowance int64
	// fieldsOnly leaves out the fast readers. Tests compare the two ways.
	fieldsOnly bool
	err        *DecodeError

	unfit string // writing: why the message cannot be carried
}

func (c *codec) reading() bool { return c.mode <= readV2 }

func writer(v Version, dst []byte) codec {
	if v == V2 {
		return codec{mode: writeV2, out: dst}
	}
	return codec{mode: writeV3, out: dst}
}

func reader(v Version, body []byte) codec {
	c := codec{mode: readV3, in: body, record: &outside, allowance: allowanceFor(len(body))}
	if v == V2 {
		c.mode = readV2
	}
	return c
}

// The records that a body is decoded to may take so many bytes in memory, and in a
// longer body so many times its length. An event of 9 bytes becomes one of 104:
// without a bound a peer could make a reader need twelve times what it has agreed
// to receive. Payloads of events alias the body and do not count.
const (
	freeAllowance   = 32 << 20
	allowancePerLen = 4
)

func allowanceFor(body int) int64 { return max(freeAllowance, allowancePerLen*int64(body)) }

// spend takes n records of so many bytes from the allowance, or fails and
// reports false when they are too many.
func (c *codec) spend(n int, bytes uintptr) bool {
	need := int64(n) * int64(bytes)
	if need > c.allowance {
		c.fail("%d records of %d bytes exceed the %d bytes left for what a body of %d is decoded to", n, bytes, c.allowance, len(c.in))
		c.err.TooLarge = true
		return false
	}
	c.allowance -= need
	return true
}

// fail notes the first failure and leaves nothing to read.
//
//go:noinline
func (c *codec) fail(format string, args ...any) {
	if c.err == nil {
		c.err = &DecodeError{Record: c.record.name, Offset: c.origin + c.pos, Why: fmt.Sprintf(format, args...)}
		if len(c.outer) > 0 {
			c.err.Offset = c.origin
		}
	}
	c.pos = len(c.in)
}

// short fails because the body ends where the value named goes on.
//
//go:noinline
func (c *codec) short(want string) { c.fail("the body ends inside %s", want) }

func (c *codec) left() int { return len(c.in) - c.pos }

// refuse notes the first reason why the message cannot be written.
func (c *codec) refuse(why string) {
	if c.unfit == "" {
		c.unfit = why
	}
}

// not is a field that says the opposite on the wire. To write it only reads p: several
// goroutines may encode one message at a time.
func (c *codec) not(p *bool) {
	opposite := !*p
	c.bool(&opposite)
	if c.reading() {
		*p = !opposite
	}
}

func (c *codec) bool(p *bool) {
	switch c.mode {
	case readV3:
		*p = c.readBoolV3()
	case readV2:
		*p = c.readTagV2()
	case writeV3:
		c.writeBoolV3(*p)
	case writeV2:
		c.writeTagV2(*p)
	}
}

func (c *codec) u64(p *uint64) {
	switch c.mode {
	case readV3:
		*p = c.readUintV3()
	case readV2:
		*p = c.readUint64V2()
	case writeV3:
		c.writeUintV3(*p)
	case writeV2:
		c.writeUint64V2(*p)
	}
}

func (c *codec) u32(p *uint32) {
	switch c.mode {
	case readV3:
		*p = uint32(c.readUintUpToV3(1<<32 - 1))
	case readV2:
		*p = c.readUint32V2()
	case writeV3:
		c.writeUintV3(uint64(*p))
	case writeV2:
		c.writeUint32V2(*p)
	}
}

func (c *codec) u8(p *uint8) {
	switch c.mode {
	case readV3:
		*p = uint8(c.readUintUpToV3(1<<8 - 1))
	case readV2:
		*p = c.readByteV2()
	case writeV3:
		c.writeUintV3(uint64(*p))
	case writeV2:
		c.out = append(c.out, *p)
	}
}

func (c *codec) id(p *msg.ID) {
	switch c.mode {
	case readV3:
		c.readIDV3(p)
	case readV2:
		c.readIDV2(p)
	case writeV3:
		c.writeIDV3(p)
	case writeV2:
		c.writeIDV2(p)
	}
}

// bytes is an opaque byte string; what is read aliases the body where it can.
func (c *codec) bytes(p *[]byte) {
	switch c.mode {
	case readV3:
		*p = c.readBytesV3()
	case readV2:
		*p = c.readBytesV2()
	case writeV3:
		c.writeBytesV3(*p)
	case writeV2:
		c.writeBytesV2(*p)
	}
}

func (c *codec) text(p *string) {
	switch c.mode {
	case readV3:
		*p = c.checkText(c.readStringV3())
	case readV2:
		*p = c.checkText(c.readBytesV2())
	case writeV3:
		c.writeStringV3(c.fitText(*p))
	case writeV2:
		c.writeStringV2(c.fitText(*p))
	}
}
