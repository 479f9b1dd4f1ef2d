package pool_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// cluster is a set of fake nodes in memory, one of which may lead.
type cluster struct {
	t testing.TB

	mu     sync.Mutex
	leader string            // "" during an election
	hints  map[string]string // what a node names as the leader; default the leader
	down   map[string]bool
	reply  func(address string, req msg.Request) msg.Response // asked first; nil goes on
	log    []string                                           // "address request"
	fakes  map[string]*fake
}

func newCluster(t testing.TB, leader string, addresses ...string) *cluster {
	c := &cluster{t: t, leader: leader, hints: map[string]string{}, down: map[string]bool{}, fakes: map[string]*fake{}}
	for _, a := range addresses {
		f := &fake{t: t}
		f.script = each(func(_ *peer, req msg.Request) msg.Response { return c.answer(a, req) })
		t.Cleanup(f.stop)
		c.fakes[a] = f
	}
	return c
}

var hangUp = (*msg.DetailsResponse)(nil)

func (c *cluster) answer(address string, req msg.Request) msg.Response {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, address+" "+req.RequestType().String())
	if c.reply != nil {
		if resp := c.reply(address, req); resp == hangUp {
			return nil
		} else if refusal, ok := resp.(*msg.ErrorResponse); ok {
			return &msg.ErrorResponse{Code: refusal.Code, Message: refusal.Message} // without an earlier correlation id
		} else if resp != nil {
			return resp
		}
	}
	if req.RequestType().Mutates() && c.leader != address {
		hint, ok := c.hints[address]
		if !ok {
			hint = c.leader
		}
		text := "{}"
		if hint != "" {
			text = fmt.Sprintf(`{"leader_address":%q}`, hint)
		}
		return &msg.ErrorResponse{Code: notLeader[req.RequestType()], Message: text}
	}
	if w, ok := req.(*msg.WriteRequest); ok && len(w.Writes[0].Events) == 0 {
		return &msg.ErrorResponse{Code: msg.CodeEmptyEvents, Message: "{}"}
	}
	if _, ok := req.(*msg.ListOrgsRequest); ok {
		return &msg.ErrorResponse{Code: msg.CodeRouting, Message: `{"num_shards":1}`}
	}
	return echo(nil, req)
}

var notLeader = map[msg.RequestType]msg.Code{
	msg.TypeWriteRequest: msg.CodeWriteNotLeader, msg.TypeTrimStartRequest: msg.CodeTrimNotLeader,
	msg.TypeDeleteRequest: msg.CodeDeleteNotLeader, msg.TypeRegisterSchemaRequest: msg.CodeSchemaNotLeader,
}

func (c *cluster) dial(_ context.Context, _, address string) (net.Conn, error) {
	c.mu.Lock()
	f, down := c.fakes[address], c.down[address]
	c.log = append(c.log, address+" dialled")
	c.mu.Unlock()
	if f == nil || down {
		return nil, syscall.ECONNREFUSED
	}
	client, server := net.Pipe()
	f.start(server)
	return client, nil
}

// set changes the cluster while it runs.
func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// taken returns the log and empties it.
func (c *cluster) taken() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := slices.DeleteFunc(c.log, func(s string) bool { return len(s) > 8 && s[len(s)-7:] == "dialled" })
	c.log = nil
	return log
}

func (c *cluster) options(address string, seeds ...string) pool.Options {
	return pool.Options{Address: address, SeedAddresses: seeds, DisableCompression: true, Dial: c.dial}
}

func writeOne(p *pool.Pool) error {
	_, err := p.WriteEvents(ctx, key, []msg.Event{{ClientSeq: 1, Major: 1}}, me, pool.WriteOptions{})
	return err
}
