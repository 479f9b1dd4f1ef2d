package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	registerSchemaRequestRecord = describe("RegisterSchemaRequest", 6,
		"correlation_id?", "client_id", "user_id?", "schema_key", "schema_type", "schema")
	registerSchemaResponseRecord = describe("RegisterSchemaResponse", 1, "correlation_id?")
)

// registerSchemaRequest is protocol section 7.10.
func (c *codec) registerSchemaRequest(m *msg.RegisterSchemaRequest) {
	o := c.begin(&registerSchemaRequestRecord)
	c.correlation(&m.Correlated)
	c.id(&m.ClientID)
	c.optID(&m.UserID)
	c.schemaKey(&m.Key)
	c.u8((*uint8)(&m.SchemaType))
	c.text(&m.Schema)
	c.end(o)
}
