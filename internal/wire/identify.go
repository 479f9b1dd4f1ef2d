package wire

import "github.com/celeriant/celeriant-go/msg"

var (
	identifyRequestRecord = describe("IdentifyRequest", 5,
		"correlation_id?", "public_key?", "nonce?", "signature?", "api_key?", "known_dict_sha256?")
	identifyResponseRecord = describe("IdentifyResponse", 3,
		"correlation_id?", "client_id?", "access_level?", "compression_dict_sha256?", "compression_dict_bytes?")
)

// identifyRequest is protocol section 7.11.
func (c *codec) identifyRequest(m *msg.IdentifyRequest) {
	o := c.begin(&identifyRequestRecord)
	c.correlation(&m.Correlated)
	c.optText(&m.PublicKey)
	c.optText(&m.Nonce)
	c.optText(&m.Signature)
	c.optText(&m.APIKey)
	if o.fields > 5 {
		c.optText(&m.KnownDictSHA256)
	}
	c.end(o)
}

// identifyResponse is protocol section 7.11.
func (c *codec) identifyResponse(m *msg.IdentifyResponse) {
	o := c.begin(&identifyResponseRecord)
	c.correlation(&m.Correlated)
	c.optID(&m.ClientID)
	c.optAccess(&m.Access)
	if o.fields > 3 {
		c.optText(&m.DictSHA256)
	}
	if o.fields > 4 {
		c.optDictionary(&m.DictBytes)
	}
	c.end(o)
}
