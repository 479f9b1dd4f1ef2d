package pool_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// impatient ends long before the budget of those who use it.
func impatient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// An error that no further attempt can change ends ReadAll at once, and is returned.
func TestReadAllEndsWhenTLSIsRefused(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	old := a.server(false)
	old.MaxVersion = tls.VersionTLS12
	mutual := func() *fake { return serveTLS(t, a.server(true), refuseCertificates) }
	alert := func() *fake {
		return serve(t, func(p *peer) {
			p.next()
			p.Write([]byte{21, 3, 3, 0, 2, 2, 50})
		})
	}
	for name, c := range map[string]struct {
		node *fake
		tls  *pool.TLS
	}{
		"client without a certificate": {mutual(), &pool.TLS{Roots: a.roots}},
		"unwelcome certificate":        {mutual(), &pool.TLS{Roots: a.roots, Certificate: stranger.certificate}},
		"another authority":            {serveTLS(t, a.server(false), refuseCertificates), &pool.TLS{Roots: stranger.roots}},
		"another name":                 {serveTLS(t, a.server(false), refuseCertificates), &pool.TLS{Roots: a.roots, ServerName: "other.test"}},
		"node with TLS 1.2":            {serveTLS(t, old, refuseCertificates), &pool.TLS{Roots: a.roots}},
		"node without TLS":             {serve(t, func(p *peer) { p.Write([]byte("what?")); p.drain() }), &pool.TLS{Roots: a.roots}},
		"client without TLS":           {alert(), nil},
	} {
		for _, quiet := range []bool{false, true} {
			p := open(t, pool.Options{Address: c.node.address(), TLS: c.tls, DisableCompression: quiet, FailoverBudget: time.Hour, ConnectTimeout: time.Minute, RequestTimeout: time.Minute})
			before := c.node.accepted()
			for _, err := range p.ReadAll(impatient(t), key, msg.ReadFilters{}) {
				if !errors.Is(err, pool.ErrTLS) || !errors.Is(err, pool.ErrConnect) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if tried := c.node.accepted() - before; tried != 1 {
				t.Errorf("%s: %d connections", name, tried)
			}
			if _, err := p.Write(impatient(t), oneWrite); !errors.Is(err, pool.ErrTLS) || msg.Ambiguous(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A certificate that is replaced by a wrong one in the middle ends a reading, too.
func TestReadAllEndsWhenTLSIsRefusedLater(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	h := history{batches: batches(upTo(10)...), pageCap: 2}
	f := serveTLS(t, a.server(false), each(h.reply))
	var replaced atomic.Bool
	roots := func(ctx context.Context) (*x509.CertPool, error) {
		if replaced.Load() {
			return stranger.roots(ctx)
		}
		return a.roots(ctx)
	}
	p := open(t, pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: roots}, DisableCompression: true, FailoverBudget: time.Hour, ConnectTimeout: time.Minute, RequestTimeout: time.Minute})
	var last error
	short := impatient(t)
	for _, err := range p.ReadAll(short, key, msg.ReadFilters{}) {
		if last = err; !replaced.Swap(true) {
			f.cut()
		}
	}
	if !errors.Is(last, pool.ErrTLS) || short.Err() != nil {
		t.Error(last, short.Err())
	}
}

// A node that takes connections and says nothing, as one does that wants TLS, is
// not asked for the whole budget.
func TestReadAllGivesUpOnWhoNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, opts := serveMemory(t, func(p *peer) { p.next() })
		opts.FailoverBudget = time.Hour
		began := time.Now()
		_, err := readAll(open(t, opts), msg.ReadFilters{})
		if took := time.Since(began); !errors.Is(err, pool.ErrConnectionLost) || took > time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if n := f.accepted(); n < 3 || n > 8 {
			t.Errorf("%d connections", n)
		}
	})
}

// With several nodes an operation ends when all of them refuse, and only then.
func TestTLSRefusedByAll(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	first := celerianttest.Run(t, celerianttest.Options{TLS: a.server(false)})
	second := celerianttest.Run(t, celerianttest.Options{TLS: a.server(false)})
	for name, do := range map[string]func(context.Context, *pool.Pool) error{
		"read":  func(ctx context.Context, p *pool.Pool) error { return details(ctx, p, 1) },
		"write": func(ctx context.Context, p *pool.Pool) error { return writeOneIn(ctx, p) },
		"watch": func(ctx context.Context, p *pool.Pool) error { _, err := p.Watch(ctx, &msg.WatchRequest{}); return err },
		"list": func(ctx context.Context, p *pool.Pool) (last error) {
			for _, err := range p.ListOrgs(ctx) {
				last = err
			}
			return last
		},
		"read all": func(ctx context.Context, p *pool.Pool) (last error) {
			for _, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
				last = err
			}
			return last
		},
	} {
		opts := pool.Options{Address: first.Addr(), SeedAddresses: []string{second.Addr()}, TLS: &pool.TLS{Roots: stranger.roots}, FailoverBudget: time.Hour, ConnectTimeout: time.Minute, RequestTimeout: time.Minute}
		if err := do(impatient(t), open(t, opts)); !errors.Is(err, pool.ErrTLS) || msg.Timeout(err) || len(attemptsOf(err)) != 2 {
			t.Errorf("%s: %v", name, err)
		}
		opts.SeedAddresses, opts.FailoverBudget = []string{"gone.test:1"}, 500*time.Millisecond
		opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != first.Addr() {
				return nil, syscall.ECONNREFUSED
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		if err := do(impatient(t), open(t, opts)); !errors.Is(err, pool.ErrNoLeader) {
			t.Errorf("%s, the other node down: %v", name, err)
		}
	}
}

// stopped is a socket that takes no more after the handshake, once refused.
type stopped struct {
	net.Conn
	writes  int
	refused chan struct{}
}

func (s *stopped) Write(b []byte) (int, error) {
	if s.writes++; s.writes > 2 { // the greeting and the end of the handshake
		<-s.refused
		return 0, syscall.EPIPE
	}
	return s.Conn.Write(b)
}

// A refusal is found behind a write that failed, too.
func TestCertificateRefusedBeforeTheRequest(t *testing.T) {
	a := newAuthority(t)
	refused := make(chan struct{})
	f := serveTLS(t, a.server(true), func(p *peer) {
		io.ReadFull(p, make([]byte, 1)) // fails with the handshake, behind the alert
		close(refused)
	})
	p := open(t, pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: a.roots}, ConnectTimeout: time.Minute,
		Dial: wrapDial(func(nc net.Conn) net.Conn { return &stopped{Conn: nc, refused: refused} })})
	if err := details(ctx, p, 1); !errors.Is(err, pool.ErrTLS) {
		t.Error(err)
	}
}
