package wire

import (
	"encoding/binary"

	"github.com/celeriant/celeriant-go/msg"
)

// Events and the heads of batches are most of what a client reads. The functions
// here and in fast_v3.go load their fields directly, with one comparison of the
// length where the field list needs ten, and hand everything unusual, damage and
// ends of the body included, to the field list. FuzzFastEvents holds them equal to
// it.

// fastBatchV2 reads the fields of a batch before its events, or reports false
// and reads nothing when they are not all there.
func (c *codec) fastBatchV2(m *msg.Batch) bool {
	const withoutUser, withUser = 33, 49 // bytes before the events
	b := c.in[c.pos:]
	if len(b) < withUser {
		return false
	}
	switch b[24] {
	case 0:
		m.UserID = msg.Opt[msg.ID]{}
		m.ServerTimestamp = binary.LittleEndian.Uint64(b[25:])
		c.pos += withoutUser
	case 1:
		loadIDV2(&m.UserID.Value, b[25:])
		m.UserID.Set = true
		m.ServerTimestamp = binary.LittleEndian.Uint64(b[41:])
		c.pos += withUser
	default:
		return false
	}
	m.Version = binary.LittleEndian.Uint64(b)
	loadIDV2(&m.ClientID, b[8:])
	return true
}

// loadIDV2 reverses the bytes: least significant first on the wire.
func loadIDV2(id *msg.ID, b []byte) {
	_ = b[15]
	binary.BigEndian.PutUint64(id[8:], binary.LittleEndian.Uint64(b))
	binary.BigEndian.PutUint64(id[:8], binary.LittleEndian.Uint64(b[8:]))
}

// fastEventsV2 reads events from the front of the list until one is unusual or may
// not lie whole in the body, and returns how many; c.pos is behind them.
func (c *codec) fastEventsV2(events []msg.Event) int {
	// The fields before the payload, with an event id, and the tag behind it.
	const room = 66
	in, pos := c.in, c.pos
	for i := range events {
		b := in[pos:]
		if len(b) < room {
			c.pos = pos
			return i
		}
		e := &events[i]
		e.ClientSeq = binary.LittleEndian.Uint64(b)
		e.EventSeq = binary.LittleEndian.Uint64(b[8:])
		fields := b[17:49]
		switch b[16] {
		case 0:
			e.EventID = msg.Opt[msg.ID]{}
			b = b[49:]
		case 1:
			loadIDV2(&e.EventID.Value, b[17:33])
			e.EventID.Set = true
			fields = b[33:65]
			b = b[65:]
		default:
			c.pos = pos
			return i
		}
		e.Timestamp = binary.LittleEndian.Uint64(fields)
		e.Major = binary.LittleEndian.Uint64(fields[8:])
		e.Minor = binary.LittleEndian.Uint64(fields[16:])
		n := binary.LittleEndian.Uint64(fields[24:])
		if n >= uint64(len(b)) { // the payload and the tag behind it
			c.pos = pos
			return i
		}
		e.Value = b[:n:n]
		b = b[n:]
		switch {
		case b[0] == 0:
			e.IV = msg.Opt[msg.IV]{}
			pos = len(in) - len(b) + 1
		case b[0] == 1 && len(b) >= 13:
			e.IV = msg.Opt[msg.IV]{Value: msg.IV(b[1:13]), Set: true}
			pos = len(in) - len(b) + 13
		default:
			c.pos = pos
			return i
		}
	}
	c.pos = pos
	return len(events)
}
