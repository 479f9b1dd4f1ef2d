package pool_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// counted is a socket that is counted while it is open.
type counted struct {
	net.Conn
	open *atomic.Int32
	shut atomic.Bool
}

func (c *counted) Close() error {
	if !c.shut.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// However the opening of a connection ends, its socket is closed at once, not
// when the pool is.
func TestFailedOpeningsLeaveNoSocket(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	pair := keyPair(t)
	identified := pool.FixedIdentity(pool.Credentials{APIKey: apiKey(t, secretText), KeyPair: pair})
	answering := func(resp msg.IdentifyResponse) func(*peer) {
		return each(func(*peer, msg.Request) msg.Response { copied := resp; return &copied })
	}
	refusing := func(code msg.Code) func(*peer) {
		return each(func(*peer, msg.Request) msg.Response { return &msg.ErrorResponse{Code: code, Message: "{}"} })
	}
	proven := msg.Some(pair.ClientID())
	for name, c := range map[string]struct {
		node *fake
		opts pool.Options
		want error
	}{
		"refused":                      {serve(t, refusing(msg.CodeAPIKeyInvalid)), pool.Options{Identity: identified}, msg.ErrUnauthorized},
		"busy":                         {serve(t, refusing(msg.CodeServerBusy)), pool.Options{Identity: identified}, msg.ErrBusy},
		"another client id":            {serve(t, answering(msg.IdentifyResponse{})), pool.Options{Identity: identified}, pool.ErrProtocol},
		"hangs up":                     {serve(t, func(p *peer) { p.next() }), pool.Options{Identity: identified}, pool.ErrConnectionLost},
		"silent":                       {serve(t, (*peer).drain), pool.Options{Identity: identified, ConnectTimeout: 20 * time.Millisecond}, pool.ErrConnectTimeout},
		"dictionary withheld":          {serve(t, answering(msg.IdentifyResponse{ClientID: proven, DictSHA256: msg.Some("x")})), pool.Options{Identity: identified}, pool.ErrProtocol},
		"dictionary that is another":   {serve(t, answering(msg.IdentifyResponse{ClientID: proven, DictSHA256: msg.Some("x"), DictBytes: []byte("y")})), pool.Options{Identity: identified}, pool.ErrProtocol},
		"nonsense":                     {serve(t, func(p *peer) { p.Write(make([]byte, 100)); p.drain() }), pool.Options{Identity: identified}, pool.ErrProtocol},
		"anonymous, nonsense":          {serve(t, func(p *peer) { p.Write(make([]byte, 100)); p.drain() }), pool.Options{CompressLoopback: true}, pool.ErrProtocol},
		"another authority":            {serveTLS(t, a.server(false), refuseCertificates), pool.Options{TLS: &pool.TLS{Roots: stranger.roots}}, pool.ErrTLS},
		"client without a certificate": {serveTLS(t, a.server(true), refuseCertificates), pool.Options{TLS: &pool.TLS{Roots: a.roots}}, pool.ErrTLS},
		"certificate not to be had": {serveTLS(t, a.server(true), refuseCertificates), pool.Options{TLS: &pool.TLS{Roots: a.roots,
			Certificate: func(context.Context) (*tls.Certificate, error) { return nil, errors.New("the vault is closed") }}}, pool.ErrCredentials},
	} {
		var sockets atomic.Int32
		c.opts.Address, c.opts.RequestTimeout = c.node.address(), time.Minute
		if c.opts.ConnectTimeout == 0 {
			c.opts.ConnectTimeout = time.Minute
		}
		c.opts.Dial = wrapDial(func(nc net.Conn) net.Conn {
			sockets.Add(1)
			return &counted{Conn: nc, open: &sockets}
		})
		p := open(t, c.opts)
		for operation, do := range map[string]func() error{
			"details": func() error { return details(ctx, p, 1) },
			"watch":   func() error { _, err := p.Watch(ctx, &msg.WatchRequest{}); return err },
		} {
			if err := do(); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v", name, operation, err)
			}
			if left := sockets.Load(); left != 0 || node(p).Slots != 0 {
				t.Errorf("%s, %s: %d sockets and %d slots left", name, operation, left, node(p).Slots)
			}
		}
		if _, err := pool.Connect(ctx, c.opts); !errors.Is(err, c.want) || sockets.Load() != 0 {
			t.Errorf("%s: %d sockets left by Connect: %v", name, sockets.Load(), err)
		}
	}
}

// A watch that is refused leaves no socket, nor does one that is left while it
// is being opened.
func TestFailedWatchesLeaveNoSocket(t *testing.T) {
	for name, script := range map[string]func(context.CancelFunc) func(*peer){
		"refused": func(context.CancelFunc) func(*peer) {
			return each(func(*peer, msg.Request) msg.Response {
				return &msg.ErrorResponse{Code: msg.CodeRouting, Message: "{}"}
			})
		},
		"hangs up": func(context.CancelFunc) func(*peer) { return func(p *peer) { p.next() } },
		"left":     func(leave context.CancelFunc) func(*peer) { return func(p *peer) { p.next(); leave(); p.drain() } },
	} {
		var sockets atomic.Int32
		left, leave := context.WithCancel(ctx)
		opts := plain(serve(t, script(leave)))
		opts.Dial = wrapDial(func(nc net.Conn) net.Conn {
			sockets.Add(1)
			return &counted{Conn: nc, open: &sockets}
		})
		p := open(t, opts)
		if _, err := p.Watch(left, &msg.WatchRequest{}); err == nil || sockets.Load() != 0 {
			t.Errorf("%s: %d sockets left: %v", name, sockets.Load(), err)
		}
		leave()
	}
}
