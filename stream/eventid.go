package stream

import (
	"encoding/binary"

	"github.com/celeriant/celeriant-go/msg"
)

// eventNamespace is the namespace of the event ids made here. The namespace is
// part of the format: another one would give every event another id.
var eventNamespace = msg.MustParseID("7d1b1c52-6d1f-5d0e-9c0f-7c1f5a0f7e11")

// EventID returns the id of the i-th event of a Batch: the writer's own where the
// event has one, otherwise a name-based UUID (RFC 9562, version 5) of the aggregate,
// the batch's anchor and i. An id is the same for every subscriber, node and run,
// and another one after the aggregate was deleted and created again: the idempotency
// key for the outside. EventID panics if i is no index of Batch.Events.
func (c *Change) EventID(i int) msg.ID {
	if id, ok := c.Batch.Events[i].EventID.Get(); ok {
		return id
	}
	a := &c.Cursor.Anchor
	name := make([]byte, 0, 4*len(msg.ID{})+4*8)
	name = append(name, c.Key.Org[:]...)
	name = append(name, c.Key.Type[:]...)
	name = append(name, c.Key.Aggregate[:]...)
	name = append(name, a.ClientID[:]...)
	for _, n := range []uint64{a.ServerTimestamp, a.EventSeq, a.Hash, uint64(i)} {
		name = binary.BigEndian.AppendUint64(name, n)
	}
	return msg.IDFromName(eventNamespace, string(name))
}
