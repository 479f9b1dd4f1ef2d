package wire

import (
	"unsafe"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/tinylib/msgp/msgp"
)

// size is the least number of bytes an element of a list takes in each
// version; it bounds what a count may claim.
type size struct{ v2, v3 int }

// count writes the length n of a list, or reads one.
func (c *codec) count(n int, least size) int {
	switch c.mode {
	case readV3:
		return c.readLengthV3(least.v3)
	case readV2:
		return c.readLengthV2(least.v2)
	case writeV3:
		c.out = msgp.AppendArrayHeader(c.out, uint32(n))
	case writeV2:
		c.writeUint64V2(uint64(n))
	}
	return n
}

// countMap is count for the entries of a map.
func (c *codec) countMap(n int, least size) int {
	switch c.mode {
	case readV3:
		return c.readMapLengthV3(least.v3)
	case writeV3:
		c.out = msgp.AppendMapHeader(c.out, uint32(n))
		return n
	}
	return c.count(n, least)
}

// resize gives *s the length n when reading, reusing its memory where that
// suffices.
func resize[T any](c *codec, s *[]T, n int) {
	var one T
	switch {
	case !c.reading():
	case !c.spend(n, unsafe.Sizeof(one)):
		*s = (*s)[:0]
	case n <= cap(*s):
		*s = (*s)[:n]
	default:
		*s = make([]T, n)
	}
}

// list is count and resize: what precedes the elements of a required list.
func list[T any](c *codec, s *[]T, least size) { resize(c, s, c.count(len(*s), least)) }

// optList is list for one that may be absent, which is nil; a present empty
// list is not nil. optList reports whether the list is there.
func optList[T any](c *codec, s *[]T, least size) bool {
	set := c.present(*s != nil)
	if !set {
		if c.reading() {
			*s = nil
		}
		return false
	}
	if c.reading() && *s == nil {
		*s = []T{}
	}
	list(c, s, least)
	return true
}

// optIDs is a set of ids that may be absent.
func (c *codec) optIDs(p *[]msg.ID) {
	if optList(c, p, size{v2: 16, v3: 1}) {
		for i := 0; i < len(*p) && c.err == nil; i++ {
			c.id(&(*p)[i])
		}
	}
}

// optOperations is a set of operations that may be absent.
func (c *codec) optOperations(p *[]msg.Operation) {
	if optList(c, p, size{v2: 1, v3: 1}) {
		for i := 0; i < len(*p) && c.err == nil; i++ {
			c.u8((*uint8)(&(*p)[i]))
		}
	}
}

// optNumbers is a list of numbers that may be absent.
func (c *codec) optNumbers(p *[]uint64) {
	if optList(c, p, size{v2: 8, v3: 1}) {
		for i := 0; i < len(*p) && c.err == nil; i++ {
			c.u64(&(*p)[i])
		}
	}
}

// optDictionary is a dictionary that may be absent. Version 3 carries it as an
// array of integers and accepts bin. Protocol section 5.2.
func (c *codec) optDictionary(p *[]byte) {
	set := c.present(*p != nil)
	switch {
	case !set:
		if c.reading() {
			*p = nil
		}
	case c.mode == readV3:
		*p = c.readDictionaryV3()
	case c.mode == writeV3:
		c.out = msgp.AppendArrayHeader(c.out, uint32(len(*p)))
		for _, b := range *p {
			c.writeUintV3(uint64(b))
		}
	default:
		c.bytes(p)
	}
}

func (c *codec) readDictionaryV3() []byte {
	lead, ok := c.lead("a dictionary")
	if ok && !isArrayV3(lead) && !isBinV3(lead) {
		c.wrong("a dictionary")
		return nil
	}
	return c.readBytesV3()
}
