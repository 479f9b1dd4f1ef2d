package server

import (
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// handle executes one request and sends its answer. An error ends the
// connection.
func (c *conn) handle(in inbound, first bool) error {
	if identify, ok := in.request.(*msg.IdentifyRequest); ok {
		if !first {
			return errEnded // after the first frame the type is unknown
		}
		resp, no := c.identify(identify)
		return c.reply(in, resp, no)
	}
	if first {
		if no := c.demandIdentity(); no != nil {
			return c.reply(in, nil, no)
		}
	}
	r, no := c.admit(in.request)
	if no != nil {
		return c.reply(in, nil, no)
	}
	if req, ok := in.request.(*msg.WatchRequest); ok {
		return c.watch(in, req, r)
	}
	resp, no := c.execute(in.request, r)
	return c.reply(in, resp, no)
}

// reply sends the response or the refusal; both nil means silence.
func (c *conn) reply(in inbound, resp msg.Response, no *refusal.Refusal) error {
	if no != nil {
		resp = no.Response(in.request.Correlation())
	}
	if in.doomed {
		return c.cut()
	}
	if resp == nil {
		return nil
	}
	if err := c.send(in.version, resp); err != nil {
		return err
	}
	if no != nil && endsConnection(no.Code) {
		return errEnded
	}
	return nil
}

// admit makes the checks that come before any look at the data, in the order
// of server semantics 3.1, and returns the shard that decides the rest.
func (c *conn) admit(req msg.Request) (*replica.Replica, *refusal.Refusal) {
	index, no := c.server.Router.Route(req)
	if no != nil {
		return nil, no
	}
	if req.RequestType().Mutates() {
		if no := c.checkMutation(req); no != nil {
			return nil, no
		}
	}
	c.move(index)
	return c.server.Replicas[index], nil
}

func (c *conn) checkMutation(req msg.Request) *refusal.Refusal {
	if proven, ok := c.client.Get(); ok {
		if sent := clientOf(req); sent != proven {
			return refusal.New(msg.CodeClientIDMismatch, fmt.Sprintf(
				"client_id mismatch: request has %v, connection verified as %v", sent.Int(), proven.Int()))
		}
	}
	if c.access.Value == msg.ReadOnly {
		return refusal.New(msg.CodeReadOnlyKey, "Insufficient permissions for this operation")
	}
	return c.server.Role.Load().Check(req.RequestType())
}

func clientOf(req msg.Request) msg.ID {
	switch req := req.(type) {
	case *msg.WriteRequest:
		return req.ClientID
	case *msg.TrimStartRequest:
		return req.ClientID
	case *msg.DeleteRequest:
		return req.ClientID
	case *msg.RegisterSchemaRequest:
		return req.ClientID
	}
	return msg.ID{}
}

// move notes which shard serves the connection now. The reference server moves
// the socket there and forgets on the way that the client has the dictionary
// (server semantics 1.1).
func (c *conn) move(to uint64) {
	if c.shard != to && c.server.Limits.Quirks {
		c.compress = false
	}
	c.shard = to
}

// execute runs a request other than a watch or an Identify.
func (c *conn) execute(req msg.Request, r *replica.Replica) (msg.Response, *refusal.Refusal) {
	switch req := req.(type) {
	case *msg.WriteRequest:
		return mutate(c, r, req, (*shard.Shard).Write)
	case *msg.TrimStartRequest:
		return mutate(c, r, req, (*shard.Shard).TrimStart)
	case *msg.DeleteRequest:
		return mutate(c, r, req, (*shard.Shard).Delete)
	case *msg.RegisterSchemaRequest:
		return c.registerSchema(req, r)
	case *msg.ReadRequest:
		return read(req, r)
	case *msg.DetailsRequest:
		return look(r, req, (*shard.Shard).Details)
	case *msg.ListOrgsRequest:
		return look(r, req, (*shard.Shard).ListOrgs)
	case *msg.ListTypesRequest:
		return look(r, req, (*shard.Shard).ListTypes)
	case *msg.ListAggregatesRequest:
		return look(r, req, (*shard.Shard).ListAggregates)
	}
	return nil, nil
}

// response is a pointer to one of msg's responses.
type response[T any] interface {
	*T
	msg.Response
}

// mutate runs a mutation to the point where it is readable.
func mutate[Req msg.Request, T any, Resp response[T]](c *conn, r *replica.Replica, req Req,
	change func(*shard.Shard, Req, uint64) (Resp, *refusal.Refusal)) (msg.Response, *refusal.Refusal) {
	var resp Resp
	now := c.server.now()
	no := r.Mutate(c.run.ctx, req.RequestType(), func(s *shard.Shard) (no *refusal.Refusal) {
		resp, no = change(s, req, now)
		return no
	})
	if no != nil {
		return nil, no
	}
	return resp, nil
}

// look runs a read-only request.
func look[Req any, T any, Resp response[T]](r *replica.Replica, req Req,
	at func(*shard.Shard, Req) (Resp, *refusal.Refusal)) (msg.Response, *refusal.Refusal) {
	var resp Resp
	var no *refusal.Refusal
	r.Look(func(s *shard.Shard) { resp, no = at(s, req) })
	if no != nil {
		return nil, no
	}
	return resp, nil
}

// read is look for reads, which may stay unanswered under Quirks.
func read(req *msg.ReadRequest, r *replica.Replica) (msg.Response, *refusal.Refusal) {
	var resp *msg.ReadResponse
	var answered bool
	var no *refusal.Refusal
	r.Look(func(s *shard.Shard) { resp, answered, no = s.Read(req) })
	if no != nil || !answered {
		return nil, no
	}
	return resp, nil
}

// registerSchema registers on shard 0 and, once it is durable there, on all
// others; shard 0 keeps it if another one fails. Server semantics 6.
func (c *conn) registerSchema(req *msg.RegisterSchemaRequest, first *replica.Replica) (msg.Response, *refusal.Refusal) {
	resp, no := mutate(c, first, req, (*shard.Shard).RegisterSchema)
	if no != nil {
		return nil, no
	}
	failed := 0
	for _, r := range c.server.Replicas[1:] {
		if _, no := mutate(c, r, req, (*shard.Shard).RegisterSchema); no != nil {
			failed++
		}
	}
	if failed > 0 {
		return nil, refusal.New(msg.CodeSchemaPartial,
			fmt.Sprintf(`{"failed_shard_count":%d,"total_shards":%d}`, failed, len(c.server.Replicas)))
	}
	return resp, nil
}

// now returns the server timestamp: milliseconds since 1970.
