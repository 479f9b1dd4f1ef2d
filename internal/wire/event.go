package wire

import (
	"unsafe"

	"github.com/celeriant/celeriant-go/msg"
)

var (
	eventRecord = describe("AggregateEvent", 7,
		"client_seq", "event_seq", "event_id?", "event_timestamp",
		"event_type_major", "event_type_minor", "event_value", "iv?")
	batchRecord = describe("AggregateEventBatch", 5,
		"aggregate_version", "client_id", "user_id?", "server_timestamp", "events")
)

var (
	eventSize = size{v2: 50, v3: 8}
	batchSize = size{v2: 41, v3: 6}
)

// event is protocol section 6.3.
func (c *codec) event(e *msg.Event) {
	o := c.begin(&eventRecord)
	c.u64(&e.ClientSeq)
	c.u64(&e.EventSeq)
	c.optID(&e.EventID)
	c.u64(&e.Timestamp)
	c.u64(&e.Major)
	c.u64(&e.Minor)
	c.bytes(&e.Value)
	if o.fields > 7 {
		c.optIV(&e.IV)
	} else {
		e.IV = msg.None[msg.IV]()
	}
	c.end(o)
}

// batch is protocol section 6.4.
func (c *codec) batch(b *msg.Batch) {
	o := c.begin(&batchRecord)
	if c.mode != readV2 || c.fieldsOnly || !c.fastBatchV2(b) {
		c.u64(&b.Version)
		c.id(&b.ClientID)
		c.optID(&b.UserID)
		c.u64(&b.ServerTimestamp)
	}
	c.events(&b.Events)
	c.end(o)
}

// events takes what it reads from the arena all batches of a page share.
func (c *codec) events(p *[]msg.Event) {
	n := c.count(len(*p), eventSize)
	if c.reading() {
		*p = c.allot(n)
	}
	for i := 0; i < len(*p) && c.err == nil; i++ {
		if i += c.fastEvents((*p)[i:]); i < len(*p) {
			c.event(&(*p)[i])
		}
	}
}

// fastEvents reads the events at the front of a list that have nothing unusual, and
// returns how many those are.
func (c *codec) fastEvents(events []msg.Event) int {
	switch {
	case c.fieldsOnly:
	case c.mode == readV2:
		return c.fastEventsV2(events)
	case c.mode == readV3:
		return c.fastEventsV3(events)
	}
	return 0
}

// allot cuts n events off the arena. One too small is replaced; its predecessor
// stays with the batches that have parts of it. The first of a fresh page serves
// the first batch alone, the next one all others, if they are like it.
func (c *codec) allot(n int) []msg.Event {
	if !c.spend(n, eventBytes) {
		return nil
	}
	used := len(c.arena)
	if n > cap(c.arena)-used {
		used = 0
		further := int(c.allowance / int64(eventBytes)) // events that may follow these
		c.arena = make([]msg.Event, 0, max(n, min(max(c.expected(), c.known), n+further)))
	}
	c.allotted += n
	c.arena = c.arena[:used+n]
	return c.arena[used : used+n : used+n]
}

// expected is how many events there are from the present batch to the end of
// the body, if they are like those before it. As it is bounded by the bytes left,
// so is the arena.
func (c *codec) expected() int {
	read, left := c.batchAt-c.batchesAt, len(c.in)-c.batchAt
	if read <= 0 || left <= 0 {
		return 0
	}
	alike := (uint64(left)*uint64(c.allotted) + uint64(read) - 1) / uint64(read)
	return int(min(alike, uint64(left/minEvent)))
}

// eventBytes is what a decoded event takes in memory, without its payload.
const eventBytes = unsafe.Sizeof(msg.Event{})

// minEvent is the least number of bytes an event takes in either version.
const minEvent = 8
