package server

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// handshakeTimeout bounds a TLS handshake. Server semantics 1.4.
const handshakeTimeout = 10 * time.Second

// TLSConfig returns what a node makes of its option: as strict as the
// reference server, nil for nil.
func TLSConfig(c *tls.Config) *tls.Config {
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
func (s *Server) wrap(socket net.Conn) net.Conn {
	if s.TLS == nil {
		return socket
	}
	return tls.Server(socket, s.TLS)
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
