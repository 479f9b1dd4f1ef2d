package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	writeRequestRecord   = describe("WriteRequest", 4, "correlation_id?", "client_id", "user_id?", "writes")
	aggregateWriteRecord = describe("SingleAggregateWrite", 4,
		"events", "allow_create", "expected_version?", "enforce_client_idempotency")
	writeResponseRecord = describe("WriteResponse", 2, "correlation_id?", "max_aggregate_version?")
)

var writeSize = size{v2: 59, v3: 9}

// writeRequest is protocol section 7.3.
func (c *codec) writeRequest(m *msg.WriteRequest) {
	o := c.begin(&writeRequestRecord)
	c.correlation(&m.Correlated)
	c.id(&m.ClientID)
	c.optID(&m.UserID)
	resize(c, &m.Writes, c.countMap(len(m.Writes), writeSize))
	for i := 0; i < len(m.Writes) && c.err == nil; i++ {
		c.key(&m.Writes[i].Key)
		c.aggregateWrite(&m.Writes[i])
	}
	if c.reading() {
		m.Writes = lastOfEach(m.Writes, func(w *msg.AggregateWrite) msg.Key { return w.Key })
	}
	c.end(o)
}

func (c *codec) aggregateWrite(w *msg.AggregateWrite) {
	o := c.begin(&aggregateWriteRecord)
	c.events(&w.Events)
	c.not(&w.DenyCreate) // the wire says what is allowed
	c.optU64(&w.ExpectedVersion)
	c.bool(&w.EnforceIdempotency)
	c.end(o)
}

// writeResponse is protocol section 7.3.
func (c *codec) writeResponse(m *msg.WriteResponse) {
	o := c.begin(&writeResponseRecord)
	c.correlation(&m.Correlated)
	c.optU64(&m.MaxVersion)
	c.end(o)
}

// lastOfEach drops the entries of a map whose key occurs again later.
func lastOfEach[T any](entries []T, key func(*T) msg.Key) []T {
	if len(entries) < 2 {
		return entries
	}
	last := make(map[msg.Key]int, len(entries))
	for i := range entries {
		last[key(&entries[i])] = i
	}
	if len(last) == len(entries) {
		return entries
	}
	kept := entries[:0]
	for i := range entries {
		if last[key(&entries[i])] == i {
			kept = append(kept, entries[i])
		}
	}
	return kept
}
