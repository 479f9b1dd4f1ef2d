package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	watchRequestRecord = describe("WatchRequest", 7,
		"correlation_id?", "requested_latency_ms?", "shard_id?",
		"orgs?", "aggregate_types?", "aggregates?", "operation_types?")
	watchResponseRecord = describe("WatchResponse", 1, "events")
	notificationRecord  = describe("WatchResponseEvent", 7,
		"org_id", "aggregate_type_id", "aggregate_id", "operation",
		"from_aggregate_version?", "to_aggregate_version?", "keep_from_aggregate_version?")
)

var notificationSize = size{v2: 52, v3: 8}

// watchRequest is protocol section 7.6.
func (c *codec) watchRequest(m *msg.WatchRequest) {
	o := c.begin(&watchRequestRecord)
	c.correlation(&m.Correlated)
	c.optU64(&m.LatencyMS)
	c.optU64(&m.Shard)
	c.optIDs(&m.Orgs)
	c.optIDs(&m.Types)
	c.optIDs(&m.Aggregates)
	c.optOperations(&m.Operations)
	c.end(o)
}

// watchResponse is protocol section 7.6; it has no correlation id.
func (c *codec) watchResponse(m *msg.WatchResponse) {
	o := c.begin(&watchResponseRecord)
	list(c, &m.Notifications, notificationSize)
	for i := 0; i < len(m.Notifications) && c.err == nil; i++ {
		c.notification(&m.Notifications[i])
	}
	c.end(o)
}

// notification is protocol section 6.7: the key is three fields, not a record.
func (c *codec) notification(n *msg.Notification) {
	o := c.begin(&notificationRecord)
	c.id(&n.Key.Org)
	c.id(&n.Key.Type)
	c.id(&n.Key.Aggregate)
	c.u8((*uint8)(&n.Operation))
	c.optU64(&n.From)
	c.optU64(&n.To)
	c.optU64(&n.KeepFrom)
	c.end(o)
}
