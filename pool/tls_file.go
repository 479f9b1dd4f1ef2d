package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"
)

// RootsFile reads certificate authorities in PEM form, anew for each
// connection.
func RootsFile(path string) func(context.Context) (*x509.CertPool, error) {
	return func(context.Context) (*x509.CertPool, error) {
		text, err := readCredential(path)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in PEM form", path)
		}
		return roots, nil
	}
}

// CertificateFiles reads a certificate, with its chain, and its private key in
// PEM form, and again for each connection when one of the files has changed. A
// pair that does not fit together is a renewal half done: until it does, the
// last pair that did is used, as long as it is valid.
func CertificateFiles(certificatePath, keyPath string) func(context.Context) (*tls.Certificate, error) {
	f := &certificateFiles{certificatePath: certificatePath, keyPath: keyPath, now: time.Now}
	return f.load
}

type certificateFiles struct {
	certificatePath, keyPath string
	now                      func() time.Time

	mu             sync.Mutex
	chain, private []byte // the files that latest was made of
	latest         *tls.Certificate
}

func (f *certificateFiles) load(context.Context) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.renew()
	if err == nil || f.latest != nil && f.now().Before(f.latest.Leaf.NotAfter) {
		return f.latest, nil
	}
	return nil, err
}

// renew makes latest what the files hold. The caller holds the lock.
func (f *certificateFiles) renew() error {
	chain, err := readCredential(f.certificatePath)
	if err != nil {
		return err
	}
	private, err := readCredential(f.keyPath)
	if err != nil {
		return err
	}
	if f.latest != nil && bytes.Equal(chain, f.chain) && bytes.Equal(private, f.private) {
		return nil
	}
	pair, err := tls.X509KeyPair(chain, private)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", f.certificatePath, f.keyPath, err)
	}
	f.chain, f.private, f.latest = chain, private, &pair
	return nil
}
