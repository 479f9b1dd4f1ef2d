package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// TLS tells how connections are encrypted. The zero value trusts the system's
// certificate authorities, expects the host of the node's address in the node's
// certificate, and presents none itself. Only TLS 1.3 is spoken, as nodes do;
// nothing is resumed, so that every connection is checked in full.
//
// The functions are asked once for each connection, so that certificates can be
// replaced while a pool is in use. The functions are called from several
// goroutines and must honour ctx, which ends after ConnectTimeout. Their errors
// are reported as ErrCredentials. Protocol section 16.
type TLS struct {
	// Roots are the authorities that the node's certificate must come from; nil
	// means the system's. See [RootsFile].
	Roots func(ctx context.Context) (*x509.CertPool, error)
	// ServerName is the DNS name or IP address that the node's certificate must
	// be made out to; default the host of the address that is dialled. Set it
	// where nodes are reached by other names than their certificates have.
	ServerName string
	// Certificate is what to show to the node; nil means nothing. A node that
	// demands one refuses the connection without. See [CertificateFiles].
	Certificate func(ctx context.Context) (*tls.Certificate, error)
}

func (t *TLS) config(ctx context.Context, address string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: t.ServerName, SessionTicketsDisabled: true}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		config.ServerName = host
	}
	if t.Roots != nil {
		roots, err := t.Roots(ctx)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w", err)
		}
		if roots == nil {
			return nil, errors.New("certificate authorities: none given")
		}
		config.RootCAs = roots
	}
	if t.Certificate != nil {
		certificate, err := t.Certificate(ctx)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		if certificate == nil {
			return nil, errors.New("client certificate: none given")
		}
		// Not Certificates: that is left out, silently, when the node names
		// authorities which the certificate does not come from.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return config, nil
}
