package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// RootsFile reads certificate authorities in PEM form, anew for each
// connection.
func RootsFile(path string) func(context.Context) (*x509.CertPool, error) {
	file := newCredentialFile(path, false, nil)
	return func(ctx context.Context) (*x509.CertPool, error) {
		text, err := file.read(ctx)
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
// last pair that did is used, as long as it is valid. A key file that others on the machine
// may read is refused (see [AllowReadableKeys]). A named pipe is read once.
func CertificateFiles(certificatePath, keyPath string, options ...FileOption) func(context.Context) (*tls.Certificate, error) {
	f := &certificateFiles{
		certificate: newCredentialFile(certificatePath, false, options),
		key:         newCredentialFile(keyPath, true, options),
		turn:        make(chan struct{}, 1),
		now:         time.Now,
	}
	return f.load
}

type certificateFiles struct {
	certificate, key *credentialFile
	now              func() time.Time

	turn           chan struct{} // held while the files are read; guards what follows
	chain, private []byte        // the files that latest was made of
	latest         *tls.Certificate
}

func (f *certificateFiles) load(ctx context.Context) (*tls.Certificate, error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, conn.Ended(ctx)
	}
	defer func() { <-f.turn }()
	err := f.renew(ctx)
	if err == nil || f.latest != nil && f.now().Before(f.latest.Leaf.NotAfter) {
		return f.latest, nil
	}
	return nil, err
}

// renew makes latest what the files hold. The caller has the turn.
func (f *certificateFiles) renew(ctx context.Context) error {
	chain, err := f.certificate.read(ctx)
	if err != nil {
		return err
	}
	private, err := f.key.read(ctx)
	if err != nil {
		return err
	}
	if f.latest != nil && bytes.Equal(chain, f.chain) && bytes.Equal(private, f.private) {
		return nil
	}
	pair, err := tls.X509KeyPair(chain, private)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", f.certificate.path, f.key.path, err)
	}
	f.chain, f.private, f.latest = chain, private, &pair
	return nil
}
