package pool

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// do performs one request, with one transparent second try.
//
// A connection that was idle may have been closed by the node without a sign
// yet. When such a connection is lost inside the exchange, the request goes out
// once more on a new connection, provided that it changes no data or that not
// one byte of it had been handed to the network.
func (n *node) do(ctx context.Context, req msg.Request) (resp msg.Response, sent bool, err error) {
	home := n.pool.homeOf(req)
	for try := 0; ; try++ {
		var c *conn
		if c, err = n.lease(ctx, home, try > 0); err != nil {
			return nil, sent, err
		}
		c.goTo(home)
		req.SetCorrelation(msg.Some(n.ids.next()))
		began := time.Now()
		resp, sent, err = c.exchange(ctx, req, n.opts.RequestTimeout)
		n.answered(req, began, sent, err)
		again := try == 0 && mayRepeat(c, req, sent, err)
		n.release(c)
		if !again {
			return resp, sent, err
		}
		n.stats.retries.Add(1)
	}
}

// mayRepeat is the rule of do.
func mayRepeat(c *conn, req msg.Request, sent bool, err error) bool {
	return c.reused && errors.Is(err, ErrConnectionLost) && !(sent && req.RequestType().Mutates())
}
