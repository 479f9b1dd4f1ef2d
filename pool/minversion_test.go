package pool_test

import (
	"errors"
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
