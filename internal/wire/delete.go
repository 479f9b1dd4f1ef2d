package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	deleteRequestRecord   = describe("DeleteRequest", 4, "correlation_id?", "client_id", "user_id?", "deletes")
	aggregateDeleteRecord = describe("SingleAggregateDelete", 3,
		"allow_recreate", "allow_sequence_continuation", "expected_version?")
	deleteResponseRecord = describe("DeleteResponse", 1, "correlation_id?")
)

var deleteSize = size{v2: 51, v3: 8}

// deleteRequest is protocol section 7.5.
func (c *codec) deleteRequest(m *msg.DeleteRequest) {
	o := c.begin(&deleteRequestRecord)
	c.correlation(&m.Correlated)
	c.id(&m.ClientID)
	c.optID(&m.UserID)
	resize(c, &m.Deletes, c.countMap(len(m.Deletes), deleteSize))
	for i := 0; i < len(m.Deletes) && c.err == nil; i++ {
		c.key(&m.Deletes[i].Key)
		c.aggregateDelete(&m.Deletes[i])
	}
	if c.reading() {
		m.Deletes = lastOfEach(m.Deletes, func(d *msg.AggregateDelete) msg.Key { return d.Key })
	}
	c.end(o)
}

func (c *codec) aggregateDelete(d *msg.AggregateDelete) {
	o := c.begin(&aggregateDeleteRecord)
	c.bool(&d.AllowRecreate)
	c.bool(&d.AllowSequenceContinuation)
	c.optU64(&d.ExpectedVersion)
	c.end(o)
}
