package wire

import (
	"slices"
)

// A record may also come as a map from field names, or field numbers, to
// values, in any order and with keys unknown here. No known client sends that,
// so it may cost: the values are put in order in a buffer of their own, nil for
// those that may be missing, and read from there. Protocol section 5.4.

// enterMap lines up the values of a record in map form and goes on reading from
// them until leaveMap, and reports whether leaveMap is due.
func (c *codec) enterMap(r *record) bool {
	start := c.pos
	n := c.readMapLengthV3(2)
	values, ok := c.collect(r, n)
	if !ok {
		return false
	}
	size := 0
	for _, v := range values {
		size += max(len(v), 1)
	}
	lined := make([]byte, 0, size)
	for i, v := range values {
		switch {
		case v != nil:
			lined = append(lined, v...)
		case r.optional&(1<<i) != 0:
			lined = append(lined, nilV3)
		default:
			c.fail("field %s is missing", r.fields[i])
			return false
		}
	}
	c.outer = append(c.outer, source{c.in, c.pos, c.origin})
	if len(c.outer) == 1 {
		c.origin = start
	}
	c.in, c.pos = lined, 0
	return true
}

// leaveMap goes on behind the map.
func (c *codec) leaveMap() {
	last := c.outer[len(c.outer)-1]
	c.outer = c.outer[:len(c.outer)-1]
	c.in, c.pos, c.origin = last.in, last.pos, last.origin
	if c.err != nil {
		c.pos = len(c.in)
	}
}

// collect finds the value of each field among n entries.
func (c *codec) collect(r *record, n int) (values [][]byte, ok bool) {
	values = make([][]byte, len(r.fields))
	for range n {
		field := c.readFieldV3(r)
		start := c.pos
		c.skipV3()
		if c.err != nil {
			return nil, false
		}
		if field < 0 {
			continue
		}
		if values[field] != nil {
			c.fail("field %s occurs twice", r.fields[field])
			return nil, false
		}
		values[field] = c.in[start:c.pos]
	}
	return values, c.err == nil
}

// readFieldV3 reads a key and returns its field, -1 when it is unknown.
func (c *codec) readFieldV3(r *record) int {
	lead, ok := c.lead("a field name")
	switch {
	case !ok:
		return -1
	case isStringV3(lead):
		name := c.readStringV3()
		return slices.IndexFunc(r.fields, func(f string) bool { return f == string(name) })
	case isIntV3(lead):
		if i := c.readUintV3(); i < uint64(len(r.fields)) {
			return int(i)
		}
		return -1
	}
	c.wrong("a field name or number")
	return -1
}

// skipV3 passes over one value of any kind and does not recurse, so nesting
// costs a peer as much as it costs here.
func (c *codec) skipV3() {
	for due := uint64(1); due > 0 && c.err == nil; due-- {
		if due > uint64(c.left()) {
			c.short("a value")
			return
		}
		due += c.skipHeadV3()
	}
}

// skipHeadV3 passes over a value, or over the header of a list or map, and
// returns how many values belong to that.
func (c *codec) skipHeadV3() uint64 {
	lead := c.in[c.pos]
	switch {
	case isArrayV3(lead):
		return uint64(c.readLengthV3(1))
	case isMapV3(lead):
		return 2 * uint64(c.readMapLengthV3(2))
	case isStringV3(lead):
		c.readStringV3()
	case isBinV3(lead):
		c.readBinV3()
	case lead < fixmapV3 || lead >= negfixV3 || lead == nilV3 || lead == falseV3 || lead == trueV3:
		c.pos++
	default:
		c.skipScalarV3(lead)
	}
	return 0
}

// skipScalarV3 passes over numbers wider than a byte and extensions.
func (c *codec) skipScalarV3(lead byte) {
	var size int
	switch {
	case lead == 0xc1:
		c.fail("0xc1 begins no value")
		return
	case lead == 0xca || lead == 0xcb: // float32, float64
		size = 1 + 4<<(lead-0xca)
	case lead >= 0xcc && lead <= int64V3: // integers of 1, 2, 4, 8 bytes
		size = 1 + 1<<((lead-0xcc)&3)
	case lead >= 0xd4 && lead <= 0xd8: // extensions of 1 to 16 bytes
		size = 2 + 1<<(lead-0xd4)
	default: // 0xc7 to 0xc9: extensions with a length of 1, 2, 4 bytes
		width := 1 << (lead - 0xc7)
		head := c.take(1+width, "an extension")
		if head == nil {
			return
		}
		var n uint64
		for _, b := range head[1:] {
			n = n<<8 | uint64(b)
		}
		if n >= uint64(c.left()) {
			c.short("an extension")
			return
		}
		size = 1 + int(n)
	}
	c.take(size, "a value")
}
