package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	listOrgsRequestRecord  = describe("ListOrgsRequest", 3, "correlation_id?", "shard_id", "cursor?")
	listOrgsResponseRecord = describe("ListOrgsResponse", 3, "correlation_id?", "orgs", "next_cursor?")
	orgItemRecord          = describe("OrgListItem", 1, "org_id")

	listTypesRequestRecord  = describe("ListAggregateTypesRequest", 4, "correlation_id?", "shard_id", "org_id?", "cursor?")
	listTypesResponseRecord = describe("ListAggregateTypesResponse", 3, "correlation_id?", "aggregate_types", "next_cursor?")
	typeItemRecord          = describe("AggregateTypeListItem", 2, "org_id", "aggregate_type_id")

	listAggregatesRequestRecord = describe("ListAggregatesRequest", 5,
		"correlation_id?", "shard_id", "org_id?", "aggregate_type_id?", "cursor?")
	listAggregatesResponseRecord = describe("ListAggregatesResponse", 3, "correlation_id?", "aggregates", "next_cursor?")
	aggregateItemRecord          = describe("AggregateListItem", 15,
		"is_deleted", "org_id", "aggregate_type_id", "aggregate_id", "event_batch_count",
		"min_event_timestamp", "max_event_timestamp", "min_aggregate_version", "max_aggregate_version",
		"min_event_seq", "max_event_seq", "min_server_timestamp", "max_server_timestamp",
		"compressed_size", "uncompressed_size")
)

var (
	orgItemSize       = size{v2: 16, v3: 2}
	typeItemSize      = size{v2: 32, v3: 3}
	aggregateItemSize = size{v2: 137, v3: 16}
)

// listOrgsRequest is protocol section 7.7.
func (c *codec) listOrgsRequest(m *msg.ListOrgsRequest) {
	o := c.begin(&listOrgsRequestRecord)
	c.correlation(&m.Correlated)
	c.u64(&m.Shard)
	c.optU64(&m.Cursor)
	c.end(o)
}

// listOrgsResponse is protocol section 7.7; an item is a record of one id.
func (c *codec) listOrgsResponse(m *msg.ListOrgsResponse) {
	o := c.begin(&listOrgsResponseRecord)
	c.correlation(&m.Correlated)
	list(c, &m.Orgs, orgItemSize)
	for i := 0; i < len(m.Orgs) && c.err == nil; i++ {
		item := c.begin(&orgItemRecord)
		c.id(&m.Orgs[i])
		c.end(item)
	}
	c.optU64(&m.NextCursor)
	c.end(o)
}

// listTypesRequest is protocol section 7.8.
func (c *codec) listTypesRequest(m *msg.ListTypesRequest) {
	o := c.begin(&listTypesRequestRecord)
	c.correlation(&m.Correlated)
	c.u64(&m.Shard)
	c.optID(&m.Org)
	c.optU64(&m.Cursor)
	c.end(o)
}

// listTypesResponse is protocol section 7.8.
func (c *codec) listTypesResponse(m *msg.ListTypesResponse) {
	o := c.begin(&listTypesResponseRecord)
	c.correlation(&m.Correlated)
	list(c, &m.Types, typeItemSize)
	for i := 0; i < len(m.Types) && c.err == nil; i++ {
		item := c.begin(&typeItemRecord)
		c.id(&m.Types[i].Org)
		c.id(&m.Types[i].Type)
		c.end(item)
	}
	c.optU64(&m.NextCursor)
	c.end(o)
}

// listAggregatesRequest is protocol section 7.9.
func (c *codec) listAggregatesRequest(m *msg.ListAggregatesRequest) {
	o := c.begin(&listAggregatesRequestRecord)
	c.correlation(&m.Correlated)
	c.u64(&m.Shard)
	c.optID(&m.Org)
	c.optID(&m.Type)
	c.optU64(&m.Cursor)
	c.end(o)
}

// listAggregatesResponse is protocol section 7.9.
func (c *codec) listAggregatesResponse(m *msg.ListAggregatesResponse) {
	o := c.begin(&listAggregatesResponseRecord)
	c.correlation(&m.Correlated)
	list(c, &m.Aggregates, aggregateItemSize)
	for i := 0; i < len(m.Aggregates) && c.err == nil; i++ {
		c.aggregateItem(&m.Aggregates[i])
	}
	c.optU64(&m.NextCursor)
	c.end(o)
}

// aggregateItem is protocol section 6.6.
func (c *codec) aggregateItem(a *msg.AggregateItem) {
	o := c.begin(&aggregateItemRecord)
	c.bool(&a.Deleted)
	c.id(&a.Key.Org)
	c.id(&a.Key.Type)
	c.id(&a.Key.Aggregate)
	c.u64(&a.BatchCount)
	c.u64(&a.MinEventTimestamp)
	c.u64(&a.MaxEventTimestamp)
	c.u64(&a.MinVersion)
	c.u64(&a.MaxVersion)
	c.u64(&a.MinEventSeq)
	c.u64(&a.MaxEventSeq)
	c.u64(&a.MinServerTimestamp)
	c.u64(&a.MaxServerTimestamp)
	c.u64(&a.CompressedSize)
	c.u64(&a.UncompressedSize)
	c.end(o)
}
