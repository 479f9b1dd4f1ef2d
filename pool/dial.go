package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// connect opens a connection: dial, TLS handshake, Identify. All of it together
// takes at most ConnectTimeout; life ends it early.
//
// A failure matches ErrConnect or ErrConnectTimeout, except where another node
// or another attempt would do no better: refused credentials match
// msg.ErrUnauthorized and those that could not be had ErrCredentials.
func (n *node) connect(ctx, life context.Context) (*conn, error) {
	n.stats.dials.Add(1)
	bounded, cancel := context.WithTimeout(ctx, n.opts.ConnectTimeout)
	defer cancel()
	defer context.AfterFunc(life, cancel)()

	c, err := n.introduce(bounded)
	if err == nil {
		n.opts.Logger.LogAttrs(ctx, slog.LevelDebug, "connection opened", slog.String("node", n.target()))
		return c, nil
	}
	awaitEnd(bounded)
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrConnect, ended(ctx))
	case life.Err() != nil:
		err = ErrClosed
	case errors.Is(err, msg.ErrUnauthorized):
	case bounded.Err() != nil, errors.Is(err, ErrRequestTimeout): // the exchange has a timer of its own
		err = &timeoutError{ErrConnectTimeout, n.opts.ConnectTimeout}
	case errors.Is(err, ErrCredentials):
	default:
		err = fmt.Errorf("%w: %w", ErrConnect, err)
	}
	if ctx.Err() == nil && life.Err() == nil {
		n.stats.dialFailures.Add(1)
		n.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "connecting failed", slog.String("node", n.target()), slog.Any("error", err))
	}
	return nil, err
}

// awaitEnd waits for a context whose deadline has passed to say so: sockets that
// are being connected know the deadline, and their timer may win.
func awaitEnd(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); !ok || time.Now().Before(deadline) {
		return
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-ctx.Done():
	case <-patience.C:
	}
}

// target is the address of the node.
func (n *node) target() string { return n.opts.Address }

// introduce dials and, unless there is no reason to, identifies. Identify must
// be the first frame of a connection, so whatever goes wrong with it needs a
// new one. Protocol sections 8 and 9.1.
func (n *node) introduce(ctx context.Context) (*conn, error) {
	switch {
	case n.opts.Identity != nil:
		return n.present(ctx, n.opts.Identity)
	case n.opts.DisableCompression || n.mute.Load() || n.near():
		return n.dial(ctx)
	}
	c, err := n.present(ctx, anonymous)
	switch {
	case errors.Is(err, msg.ErrUnauthorized):
		n.mute.Store(true)
		return n.dial(ctx)
	case errors.Is(err, ErrConnectionLost) && n.opts.TLS == nil && ctx.Err() == nil:
		// It may not know Identify. With TLS the cause is more likely the
		// handshake, whose end the node has not seen yet.
		return n.dial(ctx)
	}
	return c, err
}

// near reports whether there is no network between here and the node, as far as
// its address tells: packing a page takes a node longer than the loopback
// interface takes to carry it. With TLS the Identify is needed all the same: it
// shows that the node has accepted the handshake before a mutation is sent.
func (n *node) near() bool {
	if n.opts.CompressLoopback || n.opts.TLS != nil {
		return false
	}
	host, _, _ := net.SplitHostPort(n.target())
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// anonymous is nobody's identity; it serves to learn the dictionary.
var anonymous Identity

// present dials and identifies. A node that confirms a hash whose dictionary is
// lost is asked, on a second connection, for the dictionary. There is no way
// from here to a connection that has not identified.
func (n *node) present(ctx context.Context, identity Identity) (*conn, error) {
	known := n.dictionaries.known()
	for range 2 {
		credentials, req, err := identity.introduction(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
		}
		req.KnownDictSHA256 = known
		c, err := n.dial(ctx)
		if err != nil {
			return nil, err
		}
		found, err := n.identify(ctx, c, credentials, req)
		if err == nil && found {
			return c, nil
		}
		c.nc.Close()
		if err != nil {
			return nil, err
		}
		known = msg.None[string]()
	}
	return nil, violation("node withholds the dictionary it demands")
}

// dial opens the socket and, with TLS, encrypts it.
func (n *node) dial(ctx context.Context) (*conn, error) {
	nc, err := n.opts.Dial(ctx, "tcp", n.target())
	if err != nil {
		return nil, err
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetNoDelay(true) // Go's default, stated because frames rely on it
	}
	if n.opts.TLS == nil {
		return newConn(nc, n.opts), nil
	}
	secured, err := n.opts.TLS.secure(ctx, nc, n.target())
	if err != nil {
		nc.Close()
		return nil, err
	}
	return newConn(secured, n.opts), nil
}

// identify exchanges the Identify frames and equips the connection with the
// coder; found is false when the dictionary is missing. Nothing else is sent
// before the answer is here: behind its first frame a node may lose what comes
// with the end of the TLS handshake. Protocol section 2.3.
func (n *node) identify(ctx context.Context, c *conn, credentials Credentials, req *msg.IdentifyRequest) (found bool, err error) {
	req.SetCorrelation(msg.Some(n.ids.next()))
	resp, _, err := c.exchange(ctx, req, n.opts.ConnectTimeout)
	if err != nil {
		return false, fmt.Errorf("identify: %w", credentials.redact(err))
	}
	answer := resp.(*msg.IdentifyResponse)
	if err := credentials.confirmed(answer); err != nil {
		return false, fmt.Errorf("identify: %w", err)
	}
	var coder *wire.Coder
	coder, found, err = n.dictionaries.resolve(answer)
	c.coder = coder
	if err == nil && found {
		n.dictionaries.prove(n.target(), answer)
	}
	return found, err
}

// introduction asks for the credentials and makes the request that carries them.
func (i Identity) introduction(ctx context.Context) (Credentials, *msg.IdentifyRequest, error) {
	if i == nil {
		return Credentials{}, new(msg.IdentifyRequest), nil
	}
	credentials, err := i(ctx)
	if err != nil {
		return Credentials{}, nil, err
	}
	req, err := credentials.request(time.Now())
	return credentials, req, err
}
