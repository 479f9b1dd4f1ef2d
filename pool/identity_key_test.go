package pool_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return generate(2048) })

func generate(bits int) *rsa.PrivateKey {
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return private
}

// secretText is an API key, and what no error or log may hold.
var secretText = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("s3cr3t!!"), 4))

func apiKey(t testing.TB, text string) pool.APIKey {
	t.Helper()
	k, err := pool.ParseAPIKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keyPair(t testing.TB) pool.KeyPair {
	t.Helper()
	k, err := pool.NewKeyPair(rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pkcs8(t testing.TB, private any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Every form of a private key is read, and gives the client id that the hash of
// the public key's DER says.
func TestKeyPairForms(t *testing.T) {
	public, err := x509.MarshalPKIXPublicKey(&rsaKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(public)
	want := msg.ID(sum[:16])
	slices.Reverse(want[:])
	one, eight := x509.MarshalPKCS1PrivateKey(rsaKey()), pkcs8(t, rsaKey())
	for name, data := range map[string][]byte{
		"PKCS 1 DER": one, "PKCS 1 PEM": pemOf("RSA PRIVATE KEY", one),
		"PKCS 8 DER": eight, "PKCS 8 PEM": pemOf("PRIVATE KEY", eight),
		"behind a certificate": append(pemOf("CERTIFICATE", []byte("x")), pemOf("PRIVATE KEY", eight)...),
	} {
		k, err := pool.ParseKeyPair(data)
		if err != nil || k.ClientID() != want || k.IsZero() {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}

func TestKeysRefused(t *testing.T) {
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	eight := pkcs8(t, rsaKey())
	legacy := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES"}, Bytes: eight})
	damaged := *rsaKey()
	damaged.D = generate(2048).D
	for name, data := range map[string][]byte{
		"nothing": nil, "prose": []byte("my secret"), "cut": eight[:len(eight)/2],
		"another kind": pkcs8(t, elliptic), "a certificate": pemOf("CERTIFICATE", eight),
		"protected": pemOf("ENCRYPTED PRIVATE KEY", eight), "protected by the old way": legacy,
		"too long": pkcs8(t, generate(3072)),
	} {
		k, err := pool.ParseKeyPair(data)
		if !errors.Is(err, pool.ErrKey) || !k.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(data) > 0 && strings.Contains(err.Error(), "my secret") {
			t.Errorf("%s: the error repeats the key: %v", name, err)
		}
	}
	for name, private := range map[string]*rsa.PrivateKey{"nil": nil, "mixed up": &damaged} {
		if _, err := pool.NewKeyPair(private); !errors.Is(err, pool.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "s3cr3t-with-dashes", "czNjcjN0", secretText[:40], secretText + "AAAA", secretText[:40] + secretText[:4]} {
		_, err := pool.ParseAPIKey(text)
		if !errors.Is(err, pool.ErrKey) || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("API key %q: %v", text, err)
		}
	}
	if k, err := pool.ParseAPIKey(" " + secretText + "\n"); err != nil || k.IsZero() {
		t.Error(err)
	}
}

// No way of printing keys shows a part of them.
func TestKeysPrintRedacted(t *testing.T) {
	c := pool.Credentials{APIKey: apiKey(t, secretText), KeyPair: keyPair(t)}
	private := rsaKey().D.String()
	hidden := struct{ inner any }{c} // fmt calls no methods in here
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{c, &c, c.APIKey, &c.APIKey, c.KeyPair, hidden, []any{c}, map[string]any{"k": c.APIKey}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("opened", "credentials", c, "key", c.APIKey, "pair", c.KeyPair)
	}
	encoded, _ := json.Marshal(c)
	out.Write(encoded)
	text := out.String()
	for _, secret := range []string{secretText, "s3cr3t", fmt.Sprintf("%x", "s3cr3t"), fmt.Sprintf("%x", secretText), private, "115 51 99 114"} {
		if strings.Contains(text, secret) {
			t.Errorf("printed %q in\n%s", secret, text)
		}
	}
	for _, wanted := range []string{"APIKey(redacted)", c.KeyPair.ClientID().String()} {
		if !strings.Contains(text, wanted) {
			t.Errorf("nothing says %q", wanted)
		}
	}
	if got := fmt.Sprint(pool.Credentials{}); got != "Credentials(no API key, no key pair)" {
		t.Error(got)
	}
}
