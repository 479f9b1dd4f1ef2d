package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	filtersRecord = describe("ReadFilters", 15,
		"from_aggregate_version", "to_aggregate_version?", "include_event_types?",
		"exclude_client_id?", "include_client_id?", "exclude_user_id?", "include_user_id?",
		"min_server_timestamp?", "max_server_timestamp?", "min_client_seq?", "max_client_seq?",
		"min_event_timestamp?", "max_event_timestamp?", "min_event_seq?", "max_event_seq?")
	readRequestRecord  = describe("ReadRequest", 3, "correlation_id?", "aggregate_key", "filters")
	readResponseRecord = describe("ReadResponse", 3, "correlation_id?", "event_batches", "next_aggregate_version?")
)

// filters is protocol section 6.5.
func (c *codec) filters(f *msg.ReadFilters) {
	o := c.begin(&filtersRecord)
	c.u64(&f.From)
	c.optU64(&f.To)
	c.optNumbers(&f.EventTypes)
	c.optID(&f.ExcludeClientID)
	c.optID(&f.IncludeClientID)
	c.optID(&f.ExcludeUserID)
	c.optID(&f.IncludeUserID)
	c.optU64(&f.MinServerTimestamp)
	c.optU64(&f.MaxServerTimestamp)
	c.optU64(&f.MinClientSeq)
	c.optU64(&f.MaxClientSeq)
	c.optU64(&f.MinEventTimestamp)
	c.optU64(&f.MaxEventTimestamp)
	c.optU64(&f.MinEventSeq)
	c.optU64(&f.MaxEventSeq)
	c.end(o)
}

// readRequest is protocol section 7.2.
func (c *codec) readRequest(m *msg.ReadRequest) {
	o := c.begin(&readRequestRecord)
	c.correlation(&m.Correlated)
	c.key(&m.Key)
	c.filters(&m.Filters)
	c.end(o)
}

// readResponse is protocol section 7.2.
func (c *codec) readResponse(m *msg.ReadResponse) {
	o := c.begin(&readResponseRecord)
	c.correlation(&m.Correlated)
	list(c, &m.Batches, batchSize)
	c.batchesAt = c.pos
	for i := 0; i < len(m.Batches) && c.err == nil; i++ {
		c.batchAt = c.pos
		c.batch(&m.Batches[i])
	}
	c.optU64(&m.NextVersion)
	c.end(o)
}
