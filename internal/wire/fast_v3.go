package wire

import (
	"encoding/binary"

	"github.com/celeriant/celeriant-go/msg"
)

// fastRoomV3 is the longest that the fields of an event before its payload can be,
// and the 8 bytes that fastUintV3 looks at behind the first of an integer.
const fastRoomV3 = 1 + 2*9 + 18 + 3*9 + 5 + 8

// fastUintV3 reads an unsigned integer in front of at least 8 more bytes, and
// returns what is behind it, and false for every other kind of value.
func fastUintV3(b []byte) (uint64, []byte, bool) {
	lead := b[0]
	if lead < fixmapV3 {
		return uint64(lead), b[1:], true
	}
	width := lead - uint8V3 // 0 to 3, for 1, 2, 4 and 8 bytes
	if width > 3 {
		return 0, nil, false
	}
	v := binary.BigEndian.Uint64(b[1:]) >> (64 - 8<<width)
	return v, b[1+1<<width:], true
}

// fastEventsV3 is fastEventsV2 for version 3: events that are arrays of eight fields.
func (c *codec) fastEventsV3(events []msg.Event) int {
	in, pos := c.in, c.pos
	for i := range events {
		rest, ok := fastEventV3(&events[i], in[pos:])
		if !ok {
			c.pos = pos
			return i
		}
		pos = len(in) - rest
	}
	c.pos = pos
	return len(events)
}

// fastEventV3 reads one event and returns how many bytes are left behind it.
func fastEventV3(e *msg.Event, b []byte) (rest int, ok bool) {
	if len(b) < fastRoomV3 || b[0] != fixarrayV3|8 {
		return 0, false
	}
	if e.ClientSeq, b, ok = fastUintV3(b[1:]); !ok {
		return 0, false
	}
	if e.EventSeq, b, ok = fastUintV3(b); !ok {
		return 0, false
	}
	switch {
	case b[0] == nilV3:
		e.EventID = msg.Opt[msg.ID]{}
		b = b[1:]
	case b[0] == bin8V3 && b[1] == 16:
		e.EventID = msg.Opt[msg.ID]{Value: msg.ID(b[2:18]), Set: true}
		b = b[18:]
	default:
		return 0, false
	}
	if e.Timestamp, b, ok = fastUintV3(b); !ok {
		return 0, false
	}
	if e.Major, b, ok = fastUintV3(b); !ok {
		return 0, false
	}
	if e.Minor, b, ok = fastUintV3(b); !ok {
		return 0, false
	}
	var n uint64
	switch b[0] {
	case bin8V3:
		n, b = uint64(b[1]), b[2:]
	case bin16V3:
		n, b = uint64(binary.BigEndian.Uint16(b[1:])), b[3:]
	case bin32V3:
		n, b = uint64(binary.BigEndian.Uint32(b[1:])), b[5:]
	default:
		return 0, false
	}
	if n >= uint64(len(b)) { // the payload and the first byte of what is behind it
		return 0, false
	}
	e.Value = b[:n:n]
	b = b[n:]
	switch {
	case b[0] == nilV3:
		e.IV = msg.Opt[msg.IV]{}
		return len(b) - 1, true
	case b[0] == bin8V3 && len(b) >= 14 && b[1] == 12:
		e.IV = msg.Opt[msg.IV]{Value: msg.IV(b[2:14]), Set: true}
		return len(b) - 14, true
	}
	return 0, false
}
