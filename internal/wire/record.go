package wire

import (
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// record describes the fields of a record. Version 2 needs none of it: there
// a record is its fields one after another.
type record struct {
	name   string
	fields []string
	// least is how many fields an array must have: those after are optional
	// for senders that do not know them yet. Protocol section 5.4.
	least int
	// optional has a bit for each field that may be nil, hence missing in a map.
	optional uint32
}

// outside is where a decoder is before it has begun a record.
var outside = record{name: "body"}

// describe makes a record of its fields; those ending in "?" may be nil.
func describe(name string, least int, fields ...string) record {
	r := record{name: name, least: least, fields: make([]string, len(fields))}
	for i, f := range fields {
		bare, optional := strings.CutSuffix(f, "?")
		r.fields[i] = bare
		if optional {
			r.optional |= 1 << i
		}
	}
	return r
}

// open is a record that was begun and not ended.
type open struct {
	outer *record
	// fields is how many fields are there; fewer than described only when the
	// trailing optional ones are missing.
	fields int
	mapped bool
}

// source is what a decoder read from before it went into a record in map form.
type source struct {
	in          []byte
	pos, origin int
}

// begin starts a record; end must follow.
func (c *codec) begin(r *record) open {
	o := open{outer: c.record, fields: len(r.fields)}
	switch c.mode {
	case readV3:
		c.record = r
		if c.pos < len(c.in) && c.in[c.pos] == fixarrayV3|byte(o.fields) {
			c.pos++
			return o
		}
		o.fields, o.mapped = c.beginUnusual(r)
	case readV2:
		c.record = r
	case writeV3:
		c.out = append(c.out, fixarrayV3|byte(o.fields))
	}
	return o
}

func (c *codec) end(o open) {
	if o.mapped {
		c.leaveMap()
	}
	c.record = o.outer
}

// beginUnusual reads the start of a record that is not a short array of all
// fields.
func (c *codec) beginUnusual(r *record) (fields int, mapped bool) {
	all := len(r.fields)
	lead, ok := c.lead("a record")
	switch {
	case !ok:
		return all, false
	case isMapV3(lead):
		return all, c.enterMap(r)
	case !isArrayV3(lead):
		c.wrong("a record of " + r.name)
		return all, false
	}
	n, rest, err := msgp.ReadArrayHeaderBytes(c.in[c.pos:])
	switch {
	case err != nil:
		c.short("a count")
		return all, false
	case uint64(n) < uint64(r.least) || uint64(n) > uint64(all):
		c.fail("%s has %d fields, not %d", r.name, all, n)
		return all, false
	}
	c.advance(rest)
	return int(n), false
}
