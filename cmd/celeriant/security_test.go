package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// authority signs certificates for one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	folder      string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{folder: t.TempDir()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	a.certificate, a.key = template, newKey(t)
	der := sign(t, template, a, &a.key.PublicKey)
	a.certificate = must(x509.ParseCertificate(der))(t)
	writePEM(t, a.path("ca"), "CERTIFICATE", der)
	return a
}

// issue makes a certificate for 127.0.0.1 and stores it and its key.
func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	der := sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a, &key.PublicKey)
	writePEM(t, a.path(name), "CERTIFICATE", der)
	writePEM(t, a.path(name+".key"), "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))(t))
	return must(tls.LoadX509KeyPair(a.path(name), a.path(name+".key")))(t)
}

func (a *authority) path(name string) string { return filepath.Join(a.folder, name) }

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.certificate)
	return p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

func sign(t *testing.T, template *x509.Certificate, by *authority, public *ecdsa.PublicKey) []byte {
	return must(x509.CreateCertificate(rand.Reader, template, by.certificate, public, by.key))(t)
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	node := celerianttest.Run(t, celerianttest.Options{TLS: &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, "node")}, ClientCAs: a.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}})
	a.issue(t, "me")
	mine := []string{"--tls-cert", a.path("me"), "--tls-key", a.path("me.key")}
	trusting := with(mine, "--tls-ca", a.path("ca"))
	ok(t, node, `{"text":"a"}`, "write", with(key7, trusting...)...)
	ok(t, node, "", "read", with(key7, with(trusting, "--tls-server-name", "node")...)...)
	fails(t, node, "", 1, "certificate", "read", with(key7, with(trusting, "--tls-server-name", "other")...)...)
	fails(t, node, "", 1, "unknown authority", "read", with(key7, mine...)...)
	fails(t, node, "", 1, "certificate required", "read", with(key7, "--tls-ca", a.path("ca"))...)
	fails(t, node, "", 1, a.path("none"), "read", with(key7, "--tls-ca", a.path("none"))...)
	fails(t, node, "", 2, "need each other", "read", with(key7, mine[:2]...)...)
	counts(t, node, "live", with(trusting, "--rate", "0")...)
}

// counts wants a bench to do something.
func counts(t *testing.T, node *celerianttest.Node, name string, args ...string) {
	t.Helper()
	eventually(t, func(seconds float64) error {
		r := report(t, node, name, with(args, lasting(0, seconds/2)...)...)
		if r.Operations == 0 {
			return fmt.Errorf("%s %+v", name, r)
		}
		makesSense(t, r)
		return nil
	})
}

func TestAPIKey(t *testing.T) {
	var readWrite, readOnly [32]byte
	readOnly[0] = 1
	node := celerianttest.Run(t, celerianttest.Options{APIKeys: celerianttest.APIKeys{
		PrimaryRW: celerianttest.HashAPIKey(readWrite), PrimaryRO: celerianttest.HashAPIKey(readOnly),
	}})
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rw, ro := file("rw", base64.StdEncoding.EncodeToString(readWrite[:])+"\n"), file("ro", base64.StdEncoding.EncodeToString(readOnly[:]))
	ok(t, node, `{"text":"a"}`, "write", with(key7, "--api-key-file", rw)...)
	ok(t, node, "", "read", with(key7, "--api-key-file", ro)...)
	fails(t, node, `{"text":"a"}`, 1, "API key is read-only", "write", with(key7, "--api-key-file", ro)...)
	fails(t, node, "", 1, "API key required", "read", key7...)
	bad := file("bad", "secret text")
	if r := fails(t, node, "", 1, bad, "read", with(key7, "--api-key-file", bad)...); strings.Contains(r.stderr, "secret text") {
		t.Errorf("the key is told: %q", r.stderr)
	}
}

func TestIdentity(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	path := filepath.Join(t.TempDir(), "me.rsa")
	made := lastLine(t, command(t, "identity", "new", path, "--json").stdout)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || made["file"] != path {
		t.Fatalf("identity new says %v and made %v, %v", made, info, err)
	}
	told := lastLine(t, ok(t, node, `{"text":"a"}`, "write", with(key7, "--identity-file", path, "--idempotent", "--json")...))
	if told["client_id"] != made["client_id"] {
		t.Errorf("written as %v, the identity is %v", told["client_id"], made["client_id"])
	}
	fails(t, node, `{"text":"a"}`, 5, "already stored", "write", with(key7, "--identity-file", path, "--idempotent")...)
	fails(t, node, `{"text":"a"}`, 1, "client id differs", "write", with(key7, "--identity-file", path, "--client-id", "7")...)
	for _, kind := range []string{"trim --keep-from 1", "delete"} {
		done := lastLine(t, ok(t, node, "", kind, with(key7, "--identity-file", path, "--json")...))
		if done["client_id"] != made["client_id"] {
			t.Errorf("%s as %v", kind, done["client_id"])
		}
	}
	figures(t, node, "seed", "--identity-file", path, "--aggregates", "2", "--batches", "1")
	counts(t, node, "write", "--identity-file", path)
	counts(t, node, "live", "--identity-file", path, "--rate", "0")
	before, _ := os.ReadFile(path)
	if r := command(t, "identity", "new", path); r.status != 1 || !strings.Contains(r.stderr, path) {
		t.Errorf("over an existing file: status %d, %q", r.status, r.stderr)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the key was overwritten")
	}
	if r := command(t, "identity", "new"); r.status != 2 {
		t.Errorf("without a file: status %d, %q", r.status, r.stderr)
	}
}

func TestSchemaRegister(t *testing.T) {
	address := startDev(t, "--client-port", "0", "--json").told(t).Address
	folder := t.TempDir()
	descriptor := must(base64.StdEncoding.DecodeString("CicKB24ucHJvdG8SAXMiEQoBTRIMCgRuYW1lGAEgASgJYgZwcm90bzM="))(t) // message s.M { string name = 1; }
	for name, text := range map[string]string{
		"json": `{"type":"object","required":["name"]}`,
		"avro": `{"type":"record","name":"R","fields":[{"name":"name","type":"string"}]}`, "protobuf": string(descriptor),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	register := func(major, language string, more ...string) result {
		return command(t, append([]string{"schema", "register", "--address", address, "--org", "1", "--type", "2", "--major", major, "--language", language}, more...)...)
	}
	for major, language := range map[string]string{"1": "json", "2": "avro", "3": "protobuf"} {
		args := []string{"--json", filepath.Join(folder, language)}
		if language == "protobuf" {
			args = append(args, "--message", "s.M")
		}
		r := register(major, language, args...)
		if r.status != 0 || lastLine(t, r.stdout)["language"] != language {
			t.Fatalf("%s: status %d, %q, %q", language, r.status, r.stdout, r.stderr)
		}
		if r := register(major, language, args...); r.status != 5 || !strings.Contains(r.stderr, " "+major+".0: ") {
			t.Errorf("%s again: status %d, %q", language, r.status, r.stderr)
		}
		write := command(t, "write", "--address", address, "--org", "1", "--type", "2", "--aggregate", "1", "--major", major, file(t, `{"value":"CgQ="}`))
		if write.status != 1 || !strings.Contains(write.stderr, msg.CodeSchemaMismatch.String()) {
			t.Errorf("%s: an event that does not fit: status %d, %q", language, write.status, write.stderr)
		}
	}
	for want, r := range map[string]result{
		"--language is":             register("4", "xml"),
		"--message belongs to":      register("4", "protobuf", "x"),
		"--major is required":       register("0", "json", "x"),
		"--org and --type":          command(t, "schema", "register"),
		"--message belongs to --la": register("4", "json", "--message", "s.M"),
	} {
		if r.status != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("status %d, %q, want %q", r.status, r.stderr, want)
		}
	}
	if r := register("4", "json", filepath.Join(folder, "none")); r.status != 1 || !strings.Contains(r.stderr, folder) {
		t.Errorf("a file that is not there: status %d, %q", r.status, r.stderr)
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
