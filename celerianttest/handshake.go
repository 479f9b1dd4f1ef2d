package celerianttest

import "github.com/celeriant/celeriant-go/msg"

// identify answers an Identify, which only ever is a connection's first frame:
// the RSA proof is checked first, then the API key. Server semantics 1.3.
func (c *conn) identify(req *msg.IdentifyRequest) (msg.Response, *refusal) {
	client, no := proveIdentity(req, c.node.opts.Clock.Now())
	if no != nil {
		return nil, no
	}
	resp := &msg.IdentifyResponse{Correlated: req.Correlated, ClientID: client}
	if keys := c.node.opts.APIKeys; keys.any() {
		level, no := keys.level(req.APIKey)
		if no != nil {
			return nil, no
		}
		resp.Access = msg.Some(level)
	}
	c.client, c.access = resp.ClientID, resp.Access
	if coder := c.node.coder; coder != nil {
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
func (c *conn) demandIdentity() *refusal {
	o := &c.node.opts
	switch {
	case o.RequireIdentity:
		return refuse(msg.CodeIdentityRequired, "Server requires client identity verification")
	case o.APIKeys.any() && !o.Quirks:
		return refuse(msg.CodeAPIKeyRequired, "API key required but not provided")
	}
	return nil
}
