package celerianttest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// certificate makes one that signs itself, for 127.0.0.1, and the pool that
// trusts it. The certificate is valid in virtual time, too.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	done(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"node-a", "node-b"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<34, 0), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	done(t, err)
	parsed, err := x509.ParseCertificate(der)
	done(t, err)
	trust := x509.NewCertPool()
	trust.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, trust
}

// TestTLS: real sockets, and the client of the library.
func TestTLS(t *testing.T) {
	cert, trust := certificate(t)
	node := celerianttest.Run(t, celerianttest.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	dialler := &tls.Dialer{Config: &tls.Config{RootCAs: trust}}
	client, err := pool.New(pool.Options{Address: node.Addr(), Dial: dialler.DialContext})
	done(t, err)
	defer client.Close(context.Background())
	version, err := client.WriteEvents(t.Context(), key(1), []msg.Event{event(1, "a")}, writer, pool.WriteOptions{})
	if err != nil || version != 1 {
		t.Errorf("version %d, %v", version, err)
	}
	through, err := node.Dial(t.Context())
	done(t, err)
	p := newPeer(t, tls.Client(through, &tls.Config{RootCAs: trust, ServerName: "127.0.0.1"}))
	if page, ok := p.call(readFrom(key(1), 1)).(*msg.ReadResponse); !ok || len(page.Batches) != 1 {
		t.Errorf("through memory: %+v", page)
	}
}

// TestTLSIsStrict: version 1.3, no plain text, nothing to resume by, no ALPN.
func TestTLSIsStrict(t *testing.T) {
	cert, trust := certificate(t)
	node := celerianttest.Run(t, celerianttest.Options{TLS: &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
	}})
	plain := dialTCP(t, node)
	plain.send(readFrom(key(1), 1))
	_ = plain.socket.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(plain.socket); errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 7 { // an alert record at most
		t.Errorf("plain text gets %q, %v", b, err)
	}
	if socket, err := tls.Dial("tcp", node.Addr(), &tls.Config{RootCAs: trust, MaxVersion: tls.VersionTLS12}); err == nil {
		socket.Close()
		t.Error("TLS 1.2 is spoken")
	}
	cache := tls.NewLRUClientSessionCache(4)
	for range 2 {
		socket, err := tls.Dial("tcp", node.Addr(), &tls.Config{RootCAs: trust, ClientSessionCache: cache, NextProtos: []string{"h2"}})
		done(t, err)
		p := newPeer(t, socket)
		p.call(writeTo(key(1), event(1, "a"))) // a ticket would arrive before the answer
		state := socket.ConnectionState()
		if state.DidResume || state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "" {
			t.Errorf("state %+v", state)
		}
		p.close()
	}
}

func TestTLSClientCertificates(t *testing.T) {
	cert, trust := certificate(t)
	node := celerianttest.Run(t, celerianttest.Options{TLS: &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trust,
	}})
	for _, own := range [][]tls.Certificate{nil, {cert}} {
		socket, err := tls.Dial("tcp", node.Addr(), &tls.Config{RootCAs: trust, Certificates: own})
		done(t, err) // the client learns of its refusal only when it reads
		_, err = exchange(socket, writeTo(key(1), event(1, "a")))
		if (err == nil) != (own != nil) {
			t.Errorf("with %d certificates: %v", len(own), err)
		}
		socket.Close()
	}
}

// TestHandshakeTakesTooLong: a client that never begins is dropped after 10 s,
// and a node can be killed meanwhile.
func TestHandshakeTakesTooLong(t *testing.T) {
	cert, _ := certificate(t)
	inBubble(t, celerianttest.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, func(t *testing.T, n *celerianttest.Node) {
		p := dial(t, n)
		began := time.Now()
		p.silent(9999 * time.Millisecond)
		p.eof()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it was dropped after %v", took)
		}
		synctest.Wait()
		if n.Stats().Connections != 0 {
			t.Errorf("%d connections are left", n.Stats().Connections)
		}
		q := dial(t, n)
		synctest.Wait()
		n.Kill()
		q.eof()
	})
}

// TestTLSIdleTime is that of plain connections.
func TestTLSIdleTime(t *testing.T) {
	cert, trust := certificate(t)
	inBubble(t, celerianttest.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, func(t *testing.T, n *celerianttest.Node) {
		socket, err := n.Dial(context.Background())
		done(t, err)
		p := newPeer(t, tls.Client(socket, &tls.Config{RootCAs: trust, ServerName: "node-a"}))
		p.call(writeTo(key(1), event(1, "a")))
		p.silent(29 * time.Second)
		p.socket = socket
		_ = socket.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := io.ReadAll(socket); err != nil {
			t.Errorf("the connection was not closed: %v", err)
		}
	})
}

func TestTLSPair(t *testing.T) {
	cert, trust := certificate(t)
	o := celerianttest.PairOptions{Options: celerianttest.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}}
	inPair(t, o, func(t *testing.T, p *celerianttest.Pair) {
		secure := func(n *celerianttest.Node) *peer {
			socket, err := p.DialContext(context.Background(), "tcp", n.Addr())
			done(t, err)
			return newPeer(t, tls.Client(socket, &tls.Config{RootCAs: trust, ServerName: "node-b"}))
		}
		secure(p.A()).call(writeTo(key(1), event(1, "a")))
		done(t, p.FailOver())
		if page, ok := secure(p.B()).call(readFrom(key(1), 1)).(*msg.ReadResponse); !ok || len(page.Batches) != 1 {
			t.Errorf("after the fail-over: %+v", page)
		}
	})
}

func TestTLSOptions(t *testing.T) {
	cert, _ := certificate(t)
	own := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}
	celerianttest.Run(t, celerianttest.Options{TLS: own})
	if own.MinVersion != 0 || own.SessionTicketsDisabled || own.NextProtos == nil {
		t.Error("the node changed the caller's configuration")
	}
	for name, config := range map[string]*tls.Config{
		"no certificate": {},
		"too old":        {Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12},
	} {
		_, err := celerianttest.Start(celerianttest.Options{TLS: config})
		var wrong *celerianttest.OptionError
		if !errors.As(err, &wrong) || wrong.Option != "TLS" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
