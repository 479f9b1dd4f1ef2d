package pool_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// authority issues certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, key: newECKey(t)}
	a.cert = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, a.key)
	return a
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign completes the template; without a parent it signs itself.
func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.last++
	template.SerialNumber = big.NewInt(a.last)
	template.Subject = pkix.Name{CommonName: "test"}
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// issue returns a certificate and its key in PEM form, made out to names and
// addresses.
func (a *authority) issue(until time.Time, names ...string) (chain, private []byte) {
	template := &x509.Certificate{NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := newECKey(a.t)
	cert := a.sign(template, a.cert, key)
	return pemOf("CERTIFICATE", cert.Raw), pemOf("PRIVATE KEY", pkcs8(a.t, key))
}

func (a *authority) pair(names ...string) tls.Certificate {
	pair, err := tls.X509KeyPair(a.issue(time.Time{}, names...))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) roots(context.Context) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return roots, nil
}

func (a *authority) certificate(context.Context) (*tls.Certificate, error) {
	pair := a.pair()
	return &pair, nil
}

// server is the configuration of a node on 127.0.0.1; with clients it demands
// certificates.
func (a *authority) server(clients bool) *tls.Config {
	config := &tls.Config{Certificates: []tls.Certificate{a.pair("127.0.0.1", "node.test")}}
	if clients {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs, _ = a.roots(ctx)
	}
	return config
}

func TestTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	plain := celerianttest.Run(t, celerianttest.Options{})
	open1 := celerianttest.Run(t, celerianttest.Options{TLS: a.server(false)})
	mutual := celerianttest.Run(t, celerianttest.Options{TLS: a.server(true)})
	named := a.server(false)
	named.Certificates = []tls.Certificate{a.pair("node.test")}
	byName := celerianttest.Run(t, celerianttest.Options{TLS: named})
	var invalid *tls.CertificateVerificationError
	var wrongName x509.HostnameError
	var unknown x509.UnknownAuthorityError
	for name, c := range map[string]struct {
		node *celerianttest.Node
		tls  *pool.TLS
		want any // nil, a text of the error, or what errors.As fills
	}{
		"trusted":                {open1, &pool.TLS{Roots: a.roots}, nil},
		"trusted, by name":       {byName, &pool.TLS{Roots: a.roots, ServerName: "node.test"}, nil},
		"mutual":                 {mutual, &pool.TLS{Roots: a.roots, Certificate: a.certificate}, nil},
		"needless certificate":   {open1, &pool.TLS{Roots: a.roots, Certificate: a.certificate}, nil},
		"system's authorities":   {open1, &pool.TLS{}, &invalid},
		"another authority":      {open1, &pool.TLS{Roots: stranger.roots}, &unknown},
		"another name":           {open1, &pool.TLS{Roots: a.roots, ServerName: "other.test"}, &wrongName},
		"name instead of number": {byName, &pool.TLS{Roots: a.roots}, &wrongName},
		"plain node":             {plain, &pool.TLS{Roots: a.roots}, "TLS handshake"},
		"plain client":           {open1, nil, ""},
	} {
		for _, version := range []int{2, 3} {
			p := open(t, pool.Options{Address: c.node.Addr(), TLS: c.tls, ProtocolVersion: version, ConnectTimeout: 20 * time.Second, RequestTimeout: 20 * time.Second})
			value := bytes.Repeat([]byte("x"), 100_000)
			_, err := p.WriteEvents(ctx, key, events(3, value), me, pool.WriteOptions{})
			if c.want == nil {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				for batch, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
					if err != nil || !bytes.Equal(batch.Events[2].Value, value) {
						t.Errorf("%s: %v", name, err)
					}
				}
				continue
			}
			if text, ok := c.want.(string); ok {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if !errors.As(err, c.want) || !errors.Is(err, pool.ErrConnect) || msg.Ambiguous(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// serveTLS is serve behind TLS; script also sees the connections whose
// handshake fails.
func serveTLS(t testing.TB, config *tls.Config, script func(*peer)) *fake {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, listener: tls.NewListener(listener, config), script: script}
	f.running.Go(f.accept)
	t.Cleanup(f.stop)
	return f
}

// refuseCertificates ends the handshake with the alert and then takes in
// whatever comes, so that the alert is not lost in a reset.
func refuseCertificates(p *peer) {
	socket := p.Conn.(*tls.Conn)
	if socket.HandshakeContext(context.Background()) != nil {
		io.Copy(io.Discard, socket.NetConn())
	}
}

// With TLS 1.3 the refusal of a client certificate arrives in place of the first
// answer. The refusal is a failure to connect with the alert's text, and what
// was asked for has certainly not been done.
func TestCertificateRefused(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		certificate func(context.Context) (*tls.Certificate, error)
		alert       string
	}{
		"none":      {nil, "certificate required"},
		"unwelcome": {stranger.certificate, "unknown certificate authority"},
	} {
		f := serveTLS(t, a.server(true), refuseCertificates)
		p := open(t, pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: a.roots, Certificate: c.certificate}})
		_, err := p.Write(ctx, oneWrite)
		if !errors.Is(err, pool.ErrConnect) || errors.Is(err, pool.ErrProtocol) || msg.Ambiguous(err) || !msg.SafeToRetry(err) ||
			!strings.Contains(err.Error(), c.alert) {
			t.Errorf("%s: %v", name, err)
		}
		if f.accepted() != 1 {
			t.Errorf("%s: %d connections", name, f.accepted())
		}
	}
}

// Where nothing is identified the refusal meets the request itself, which has
// certainly not been applied, although it was sent.
func TestCertificateRefusedWithoutIdentify(t *testing.T) {
	a := newAuthority(t)
	f := serveTLS(t, a.server(true), refuseCertificates)
	opts := pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: a.roots}, DisableCompression: true}
	p := open(t, opts)
	v, err := p.At(f.address())
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(context.Context, *msg.WriteRequest) (*msg.WriteResponse, error){"pool": p.Write, "view": v.Write} {
		if _, err := write(ctx, oneWrite); !errors.Is(err, pool.ErrConnect) || !strings.Contains(err.Error(), "certificate required") ||
			msg.Ambiguous(err) || !msg.SafeToRetry(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A single connection may know before it is used.
	if _, err := connect(t, opts).Write(ctx, oneWrite); err == nil || msg.Ambiguous(err) || !msg.SafeToRetry(err) {
		t.Error(err)
	}
	if err := details(ctx, p, 1); !errors.Is(err, pool.ErrConnect) || !strings.Contains(err.Error(), "certificate required") {
		t.Error(err)
	}
}

// A connection lost while identifying is not tried without: behind TLS the node
// may not even have seen the Identify.
func TestNoFallbackBehindTLS(t *testing.T) {
	a := newAuthority(t)
	f := serveTLS(t, a.server(false), func(p *peer) { p.next() })
	p := open(t, pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: a.roots}})
	if _, err := p.Write(ctx, oneWrite); !errors.Is(err, pool.ErrConnect) || msg.Ambiguous(err) || f.accepted() != 1 {
		t.Errorf("%v after %d connections", err, f.accepted())
	}
}

func TestOnlyTLS13(t *testing.T) {
	a := newAuthority(t)
	config := a.server(false)
	config.MaxVersion = tls.VersionTLS12
	f := serveTLS(t, config, refuseCertificates)
	p := open(t, pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: a.roots}})
	if err := details(ctx, p, 1); !errors.Is(err, pool.ErrConnect) || !strings.Contains(err.Error(), "protocol version") {
		t.Error(err)
	}
}

// A handshake that never ends is bounded by ConnectTimeout, and by the caller.
func TestHandshakeNeverEnds(t *testing.T) {
	a := newAuthority(t)
	f := serve(t, (*peer).drain)
	p := open(t, pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: a.roots}, ConnectTimeout: 30 * time.Millisecond})
	if _, err := p.Write(ctx, oneWrite); !errors.Is(err, pool.ErrConnectTimeout) || msg.Ambiguous(err) || !msg.Timeout(err) {
		t.Error(err)
	}
	patient := open(t, pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: a.roots}, ConnectTimeout: time.Hour})
	hasty, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if err := details(hasty, patient, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := patient.Close(ctx); err != nil || node(patient).Slots != 0 {
		t.Errorf("after Close: %v, %+v", err, node(patient))
	}
}

// Behind the first frame nothing is sent until its answer is there: a node may
// lose what arrives with the end of the handshake.
func TestNothingBehindTheFirstFrame(t *testing.T) {
	a := newAuthority(t)
	var early atomic.Int32
	f := serveTLS(t, a.server(false), func(p *peer) {
		first := p.next()
		if first == nil {
			return // opened, but not needed any more
		}
		if _, ok := first.(*msg.IdentifyRequest); !ok {
			t.Errorf("began with %T", first)
			return
		}
		p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		raw := p.Conn.(*tls.Conn).NetConn()
		if n, _ := raw.Read(make([]byte, 1)); n != 0 {
			early.Add(1)
		}
		p.SetReadDeadline(time.Time{})
		p.answer(first, &msg.IdentifyResponse{})
		each(echo)(p)
	})
	p := open(t, pool.Options{Address: f.address(), TLS: &pool.TLS{Roots: a.roots}})
	done := make(chan error)
	for i := range uint64(4) {
		go func() { done <- details(ctx, p, i) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if early.Load() != 0 {
		t.Error("something came behind the first frame")
	}
}

// An idle TLS connection that the node has closed is noticed before its use.
func TestClosedTLSConnectionIsNotUsed(t *testing.T) {
	a := newAuthority(t)
	n := celerianttest.Run(t, celerianttest.Options{TLS: a.server(false)})
	p := open(t, pool.Options{Address: n.Addr(), TLS: &pool.TLS{Roots: a.roots}})
	for range 5 {
		if _, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		n.CutConnections()
		until(t, "the node notices", func() bool { return n.Stats().Connections == 0 })
	}
}

// Closing does not wait for a peer that has stopped reading, as a closing alert
// would for 5 s.
func TestClosingTLSDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		blocked := make(chan struct{})
		defer close(blocked)
		f, opts := serveMemory(t, func(p *peer) {
			if err := tls.Server(p.Conn, a.server(false)).HandshakeContext(ctx); err != nil {
				t.Error(err)
			}
			io.ReadFull(p, make([]byte, 20<<10))
			<-blocked // in memory the next byte is stuck
		})
		defer f.cut()
		opts.Address, opts.TLS = "node.test:1", &pool.TLS{Roots: a.roots}
		start := time.Now()
		_, err := open(t, opts).WriteEvents(ctx, key, events(1, make([]byte, 64<<10)), me, pool.WriteOptions{})
		if took := time.Since(start); !errors.Is(err, pool.ErrRequestTimeout) || !msg.Ambiguous(err) || took != pool.DefaultRequestTimeout {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
