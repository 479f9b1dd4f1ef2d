package celerianttest

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// handshakeTimeout bounds a TLS handshake. Server semantics 1.4.
const handshakeTimeout = 10 * time.Second

// checkTLS refuses a configuration no handshake could succeed with.
func checkTLS(c *tls.Config) error {
	switch {
	case c == nil:
		return nil
	case len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil:
		return &OptionError{"TLS", "holds no certificate"}
	case c.MaxVersion != 0 && c.MaxVersion < tls.VersionTLS13:
		return &OptionError{"TLS", tls.VersionName(c.MaxVersion) + " is asked for at most, and TLS 1.3 is the only version"}
	}
	return nil
}

// serverTLS returns what a node makes of its option: as strict as the
// reference server, nil for nil.
func serverTLS(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.SessionTicketsDisabled = true
	c.NextProtos = nil
	return c
}

// wrap puts TLS around a socket, if the node speaks it.
func (n *Node) wrap(socket net.Conn) net.Conn {
	if n.tls == nil {
		return socket
	}
	return tls.Server(socket, n.tls)
}

// shakeHands completes the handshake of a TLS connection; whoever does not
// manage one in time is dropped without a word.
func (c *conn) shakeHands() bool {
	secured, ok := c.socket.(*tls.Conn)
	if !ok {
		return true
	}
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTimeout)
	defer cancel()
	return secured.HandshakeContext(ctx) == nil
}
