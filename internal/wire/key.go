package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	keyRecord       = describe("AggregateKey", 3, "org_id", "aggregate_type_id", "aggregate_id")
	schemaKeyRecord = describe("SchemaKey", 4, "org_id", "aggregate_type_id", "event_type_major", "event_type_minor")
)

// key is protocol section 6.1.
func (c *codec) key(k *msg.Key) {
	o := c.begin(&keyRecord)
	c.id(&k.Org)
	c.id(&k.Type)
	c.id(&k.Aggregate)
	c.end(o)
}

// schemaKey is protocol section 6.2.
func (c *codec) schemaKey(k *msg.SchemaKey) {
	o := c.begin(&schemaKeyRecord)
	c.id(&k.Org)
	c.id(&k.Type)
	c.u64(&k.Major)
	c.u64(&k.Minor)
	c.end(o)
}

// correlation is field 0 of every request and of all but two responses.
func (c *codec) correlation(m *msg.Correlated) { c.optID(&m.CorrelationID) }
