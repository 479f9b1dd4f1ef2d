package server

import (
	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/msg"
)

// identify answers an Identify, which only ever is a connection's first frame:
// the RSA proof is checked first, then the API key. Server semantics 1.3.
func (c *conn) identify(req *msg.IdentifyRequest) (msg.Response, *refusal.Refusal) {
	client, no := proveIdentity(req, c.server.Clock())
	if no != nil {
		return nil, no
	}
	resp := &msg.IdentifyResponse{Correlated: req.Correlated, ClientID: client}
	if c.server.Access != nil {
		level, no := c.server.Access(req.APIKey)
		if no != nil {
			return nil, no
		}
		resp.Access = msg.Some(level)
	}
	c.client, c.access = resp.ClientID, resp.Access
	if coder := c.server.Coder; coder != nil {
		c.compress = true
		resp.DictSHA256 = msg.Some(coder.SHA256())
		if req.KnownDictSHA256 != resp.DictSHA256 {
			resp.DictBytes = coder.Dictionary()
		}
	}
	return resp, nil
}

// demandIdentity refuses a first frame other than Identify where one is
// required. The reference server does not ask for API keys here, so that
// leaving Identify out gets around them; only Quirks reproduce that.
func (c *conn) demandIdentity() *refusal.Refusal {
	limits := &c.server.Limits
	switch {
	case limits.RequireIdentity:
		return refusal.New(msg.CodeIdentityRequired, "Server requires client identity verification")
	case c.server.Access != nil && !limits.Quirks:
		return refusal.New(msg.CodeAPIKeyRequired, "API key required but not provided")
	}
	return nil
}
