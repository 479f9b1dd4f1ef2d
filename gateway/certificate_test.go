package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// issue makes a certificate for a caller, with a name in the URI or, as none counts, in
// the common name.
func (a *authority) issue(uri, common string) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: common}, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	cert, key := a.sign(template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// Certificates name callers by their URIs, against the gateway's own authorities only;
// what is sent is the same as with a key.
func TestCertificatesOfClients(t *testing.T) {
	own, foreign := newAuthority(t), newAuthority(t)
	const name = "spiffe://example/reader"
	path := filepath.Join(t.TempDir(), "auth.json")
	if err := os.WriteFile(path, []byte(`{"callers":[{"name":"reader","certificates":["`+name+`"],"read":["*"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	auth, err := access.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth, TLS: &tls.Config{
		Certificates: []tls.Certificate{own.issue("", "")}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: own.pool, MinVersion: tls.VersionTLS13,
	}})
	w.write(1, "a")
	with := func(certs ...tls.Certificate) grpc.DialOption {
		return grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: own.pool, ServerName: "localhost", Certificates: certs}))
	}
	r := w.mustOpen(clientHeld(), with(own.issue(name, "")))
	if d := r.changes(1, noPositions)[0]; d.describe() != "1.1" {
		t.Errorf("the caller gets %s", d.describe())
	}
	for what, opt := range map[string]struct {
		with grpc.DialOption
		want codes.Code
	}{
		"no certificate":                 {with(), codes.Unauthenticated},
		"another name":                   {with(own.issue(name+"2", "")), codes.Unauthenticated},
		"the name as the common name":    {with(own.issue("", name)), codes.Unauthenticated},
		"of another authority":           {with(foreign.issue(name, "")), codes.Unavailable},
		"no encryption":                  {grpc.WithTransportCredentials(insecure.NewCredentials()), codes.Unavailable},
		"a name that is a caller's name": {with(own.issue("", "reader")), codes.Unauthenticated},
	} {
		events := pb.NewEventServiceClient(w.connect(opt.with))
		_, err := events.List(w.context(), &pb.ListRequest{List: &pb.ListRequest_Orgs_{Orgs: &pb.ListRequest_Orgs{}}})
		if status.Code(err) != opt.want {
			t.Errorf("%s: %v, want %v", what, err, opt.want)
		}
	}
}
