package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// connect opens a connection and, unless compression is off, introduces it.
// All of it together takes at most ConnectTimeout; life ends it early.
func (n *node) connect(ctx, life context.Context) (*conn, error) {
	n.stats.dials.Add(1)
	bounded, cancel := context.WithTimeout(ctx, n.opts.ConnectTimeout)
	defer cancel()
	defer context.AfterFunc(life, cancel)()

	c, err := n.introduce(bounded)
	if err == nil {
		n.opts.Logger.LogAttrs(ctx, slog.LevelDebug, "connection opened", slog.String("node", n.opts.Address))
		return c, nil
	}
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrConnect, ended(ctx))
	case life.Err() != nil:
		err = ErrClosed
	case bounded.Err() != nil, errors.Is(err, ErrRequestTimeout): // the socket's timer may win over the context's
		err = &timeoutError{ErrConnectTimeout, n.opts.ConnectTimeout}
	default:
		err = fmt.Errorf("%w: %w", ErrConnect, err)
	}
	if ctx.Err() == nil && life.Err() == nil {
		n.stats.dialFailures.Add(1)
		n.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "connecting failed", slog.String("node", n.opts.Address), slog.Any("error", err))
	}
	return nil, err
}

// introduce dials and identifies anonymously, which is how the dictionary is
// learnt. Identify must be the first frame of a connection, so everything that
// goes wrong with it needs a new one: a node that refuses it (or closes, not
// knowing it) is used without, a node that has confirmed a hash whose
// dictionary is lost is asked for the dictionary. Protocol sections 8 and 9.1.
func (n *node) introduce(ctx context.Context) (*conn, error) {
	if n.opts.DisableCompression || n.mute.Load() {
		return n.dial(ctx)
	}
	known := n.dictionaries.known()
	for range 2 {
		c, err := n.dial(ctx)
		if err != nil {
			return nil, err
		}
		found, err := n.identify(ctx, c, known)
		if err == nil && found {
			return c, nil
		}
		c.nc.Close()
		switch {
		case errors.Is(err, msg.ErrUnauthorized):
			n.mute.Store(true)
			return n.dial(ctx)
		case errors.Is(err, ErrConnectionLost) && ctx.Err() == nil:
			return n.dial(ctx)
		case err != nil:
			return nil, err
		}
		known = msg.None[string]()
	}
	return nil, violation("node withholds the dictionary it demands")
}

func (n *node) dial(ctx context.Context) (*conn, error) {
	nc, err := n.opts.Dial(ctx, "tcp", n.opts.Address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetNoDelay(true) // Go's default, stated because frames rely on it
	}
	return newConn(nc, n.opts), nil
}

// identify exchanges the Identify frames and equips the connection with the
// coder; found is false when the dictionary is missing.
func (n *node) identify(ctx context.Context, c *conn, known msg.Opt[string]) (found bool, err error) {
	req := &msg.IdentifyRequest{KnownDictSHA256: known}
	req.SetCorrelation(msg.Some(n.ids.next()))
	resp, _, err := c.exchange(ctx, req, n.opts.ConnectTimeout)
	if err != nil {
		return false, fmt.Errorf("identify: %w", err)
	}
	var coder *wire.Coder
	coder, found, err = n.dictionaries.resolve(resp.(*msg.IdentifyResponse))
	c.coder = coder
	return found, err
}
