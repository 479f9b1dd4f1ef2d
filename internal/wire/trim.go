package wire

import "github.com/celeriant/celeriant-go/msg"

var trimStartRequestRecord = describe("TrimStartRequest", 5,
	"correlation_id?", "aggregate_key", "keep_from_aggregate_version", "client_id", "user_id?")

var trimStartResponseRecord = describe("TrimStartResponse", 1, "correlation_id?")

// trimStartRequest is protocol section 7.4: the writer comes behind the version.
func (c *codec) trimStartRequest(m *msg.TrimStartRequest) {
	o := c.begin(&trimStartRequestRecord)
	c.correlation(&m.Correlated)
	c.key(&m.Key)
	c.u64(&m.KeepFrom)
	c.id(&m.ClientID)
	c.optID(&m.UserID)
	c.end(o)
}

// acknowledgement is a response of a correlation id alone.
func (c *codec) acknowledgement(r *record, m *msg.Correlated) {
	o := c.begin(r)
	c.correlation(m)
	c.end(o)
}
