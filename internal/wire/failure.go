package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	errorResponseRecord         = describe("ErrorResponse", 3, "correlation_id?", "error_code", "error_message")
	protocolErrorResponseRecord = describe("ProtocolErrorResponse", 0)
)

// errorResponse is protocol section 7.12.
func (c *codec) errorResponse(m *msg.ErrorResponse) {
	o := c.begin(&errorResponseRecord)
	c.correlation(&m.Correlated)
	c.u32((*uint32)(&m.Code))
	c.text(&m.Message)
	c.end(o)
}

// protocolErrorResponse is protocol section 7.13: a record without fields.
func (c *codec) protocolErrorResponse() { c.end(c.begin(&protocolErrorResponseRecord)) }
