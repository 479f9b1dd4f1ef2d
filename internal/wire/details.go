package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	detailsRequestRecord  = describe("AggregateDetailsRequest", 2, "correlation_id?", "aggregate_key")
	detailsResponseRecord = describe("AggregateDetailsResponse", 10,
		"correlation_id?", "min_aggregate_version", "max_aggregate_version", "max_event_seq",
		"is_deleted", "allow_recreate", "allow_sequence_continuation",
		"last_server_timestamp", "last_client_id", "last_user_id?")
)

// detailsRequest is protocol section 7.1.
func (c *codec) detailsRequest(m *msg.DetailsRequest) {
	o := c.begin(&detailsRequestRecord)
	c.correlation(&m.Correlated)
	c.key(&m.Key)
	c.end(o)
}

// detailsResponse is protocol section 7.1.
func (c *codec) detailsResponse(m *msg.DetailsResponse) {
	o := c.begin(&detailsResponseRecord)
	c.correlation(&m.Correlated)
	c.u64(&m.MinVersion)
	c.u64(&m.MaxVersion)
	c.u64(&m.MaxEventSeq)
	c.bool(&m.Deleted)
	c.bool(&m.AllowRecreate)
	c.bool(&m.AllowSequenceContinuation)
	c.u64(&m.LastServerTimestamp)
	c.id(&m.LastClientID)
	c.optID(&m.LastUserID)
	c.end(o)
}
