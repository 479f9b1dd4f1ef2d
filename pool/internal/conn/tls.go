package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// refusals are the alerts by which a node turns a client away before it has
// looked at a request.
var refusals = []tls.AlertError{
	40,                 // handshake failure
	42, 43, 44, 45, 46, // certificate: bad, unsupported, revoked, expired, unknown
	48, 49, // unknown authority, access denied
	70, 71, // protocol version, insufficient security
	112, 116, // unrecognised name, certificate required
}

// tlsError is why there is no agreement on TLS. The error is a failure to
// connect, whenever it is noticed: no request was looked at.
type tlsError struct {
	what  string
	cause error // nil: what says it all
}

func (e *tlsError) Error() string {
	if e.cause == nil {
		return e.what
	}
	return e.what + ": " + e.cause.Error()
}

func (e *tlsError) Is(target error) bool { return target == ErrTLS || target == ErrConnect }

func (e *tlsError) Unwrap() error { return e.cause }

// handshakeError sorts why a handshake has failed: what was lost on the way may
// do better the next time, what was refused will not.
func handshakeError(err error) error {
	const what = "TLS handshake"
	var untrusted *tls.CertificateVerificationError
	var other tls.RecordHeaderError
	if errors.As(err, &untrusted) || errors.As(err, &other) || isRefusal(err) {
		return &tlsError{what, err}
	}
	return fmt.Errorf(what+": %w", err)
}

// speaksTLS reports whether an answer to a plain frame begins like a TLS alert.
func speaksTLS(head []byte) bool {
	const alert, major = 21, 3
	return len(head) > 1 && head[0] == alert && head[1] == major
}

// secure turns a socket into a TLS connection. The caller closes it when that fails.
func (x *opening) secure(ctx context.Context, nc net.Conn) (secured *tlsConn, err error) {
	var config *tls.Config
	x.step = "asking for the certificates"
	x.outside(func() { config, err = x.config.TLS(ctx) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	x.step = "waiting for the TLS handshake with " + remote(nc)
	c := &tlsConn{Conn: tls.Client(nc, config)}
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, handshakeError(err)
	}
	return c, nil
}

// tlsConn is a TLS connection that is closed without ceremony.
type tlsConn struct {
	*tls.Conn
	heard bool // the node has sent something
}

// Read tells an alert in place of the first answer from a lost connection. With
// TLS 1.3 the client has finished its handshake before the node has looked at the
// client's certificate, so that a refusal is only seen here.
func (c *tlsConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard = true
	}
	if err != nil && !c.heard && isRefusal(err) {
		err = &tlsError{"the node refused the TLS connection", err}
	}
	return n, err
}

// Write looks for such an alert when the node no longer takes anything.
func (c *tlsConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && !c.heard {
		if _, why := c.Read(make([]byte, 1)); errors.Is(why, ErrTLS) {
			err = why
		}
	}
	return n, err
}

// Close closes the socket. A closing alert would tell the node nothing it
// does not learn from the end, and could wait 5 s for a peer that has stopped
// reading. Protocol section 16.
func (c *tlsConn) Close() error { return c.NetConn().Close() }

// isRefusal reports whether err is one of the refusals sent by the other end.
// The alert in it has a type of its own; its text is that of the public one.
func isRefusal(err error) bool {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" || remote.Err == nil {
		return false
	}
	for _, alert := range refusals {
		if remote.Err.Error() == alert.Error() {
			return true
		}
	}
	return false
}
