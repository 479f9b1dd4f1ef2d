package pool_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A page proves a version by showing it or what follows it; otherwise the node
// is asked, and read once more behind its word. At the leader nothing is asked twice.
func TestReadMinAsksForProof(t *testing.T) {
	next := func(v uint64) msg.Opt[uint64] { return msg.Some(v) }
	for name, c := range map[string]struct {
		next   msg.Opt[uint64]
		newest uint64
		asked  int
		fails  bool
	}{
		"next at it":    {next(5), 5, 1, false},
		"next below it": {next(2), 5, 3, false},
		"behind":        {msg.None[uint64](), 4, 2, true},
		"just written":  {msg.None[uint64](), 5, 3, false},
	} {
		asked := 0
		f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
			asked++
			if _, ok := req.(*msg.DetailsRequest); ok {
				return &msg.DetailsResponse{MaxVersion: c.newest}
			}
			page := &msg.ReadResponse{Batches: batches(1), NextVersion: c.next}
			if asked == 3 {
				page = &msg.ReadResponse{Batches: batches(1, 5)}
			}
			return page
		}))
		resp, err := open(t, plain(f)).ReadMin(ctx, &msg.ReadRequest{Key: key}, 5)
		var behind *pool.BehindError
		if asked != c.asked || c.fails != errors.As(err, &behind) || !c.fails && err != nil || asked == 3 && len(resp.Batches) != 2 {
			t.Errorf("%s: after %d requests: %+v, %v", name, asked, resp, err)
		}
	}
}

// The node that is asked for proof is the one that was read, each time: another one
// proves nothing about it.
func TestReadMinStaysAtItsNode(t *testing.T) {
	c := newCluster(t, "a:1", "a:1", "b:1", "c:1")
	c.reply = func(_ string, req msg.Request) msg.Response {
		switch req.(type) {
		case *msg.DetailsRequest:
			return &msg.DetailsResponse{MaxVersion: 5}
		case *msg.ReadRequest:
			return &msg.ReadResponse{Batches: batches(1)}
		}
		return nil
	}
	opts := c.options("a:1", "b:1", "c:1")
	opts.RouteReadsToFollowers = true
	p := open(t, opts)
	if _, err := p.Leader(ctx); err != nil {
		t.Fatal(err)
	}
	var nodes []string
	for range 4 {
		c.taken()
		if _, err := p.ReadMin(ctx, &msg.ReadRequest{Key: key}, 5); err != nil {
			t.Fatal(err)
		}
		log := c.taken()
		at, _, _ := strings.Cut(log[0], " ")
		if nodes = append(nodes, at); !slices.Equal(log, []string{at + " list organisations", at + " read", at + " details", at + " read"}) {
			t.Errorf("%v", log)
		}
	}
	slices.Sort(nodes)
	if !slices.Equal(nodes, []string{"b:1", "b:1", "c:1", "c:1"}) {
		t.Errorf("went to %v", nodes)
	}
}
