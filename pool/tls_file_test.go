package pool_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/pool"
)

// files is a folder whose files a test replaces.
type files struct {
	t      testing.TB
	folder string
}

func (f files) path(name string) string { return filepath.Join(f.folder, name) }

func (f files) put(name string, content []byte) string {
	if err := os.WriteFile(f.path(name), content, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return f.path(name)
}

// Certificates and authorities in files are replaced without a new pool.
func TestCertificatesRotate(t *testing.T) {
	one, two := newAuthority(t), newAuthority(t)
	f := files{t, t.TempDir()}
	chain, private := one.issue(time.Time{})
	options := pool.Options{TLS: &pool.TLS{
		Roots:       pool.RootsFile(f.put("roots.pem", one.pem())),
		Certificate: pool.CertificateFiles(f.put("client.pem", chain), f.put("client.key", private)),
	}}
	for _, a := range []*authority{one, two} {
		n := celerianttest.Run(t, celerianttest.Options{TLS: a.server(true)})
		options.Address = n.Addr()
		p := open(t, options)
		if a == two {
			if _, err := p.Shards(ctx); !errors.Is(err, pool.ErrConnect) {
				t.Errorf("before the rotation: %v", err)
			}
			chain, private := two.issue(time.Time{})
			f.put("roots.pem", two.pem())
			f.put("client.pem", chain)
			f.put("client.key", private)
		}
		if _, err := p.Shards(ctx); err != nil {
			t.Error(err)
		}
	}
	f.put("roots.pem", []byte("nothing"))
	n := celerianttest.Run(t, celerianttest.Options{TLS: two.server(true)})
	options.Address = n.Addr()
	_, err := open(t, options).Shards(ctx)
	if !errors.Is(err, pool.ErrCredentials) || errors.Is(err, pool.ErrConnect) || !strings.Contains(err.Error(), "roots.pem") {
		t.Error(err)
	}
}

// A pair whose halves do not fit is a renewal half done: the last good pair
// serves on, until it expires.
func TestHalfDoneRenewal(t *testing.T) {
	a := newAuthority(t)
	f := files{t, t.TempDir()}
	load := pool.CertificateFiles(f.path("client.pem"), f.path("client.key"))
	get := func() *tls.Certificate {
		t.Helper()
		pair, err := load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	if _, err := load(ctx); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	chain, private := a.issue(time.Time{})
	f.put("client.pem", chain)
	f.put("client.key", private)
	first := get()
	if get() != first {
		t.Error("unchanged files were parsed again")
	}
	chain, private = a.issue(time.Time{})
	f.put("client.pem", chain)
	if get() != first {
		t.Error("half of a renewal was used")
	}
	f.put("client.key", private)
	if second := get(); bytes.Equal(second.Certificate[0], first.Certificate[0]) {
		t.Error("the renewal was not noticed")
	}
	chain, private = a.issue(time.Now().Add(-time.Minute))
	f.put("client.pem", chain)
	f.put("client.key", private)
	get() // whether it is still valid is the node's business
	f.put("client.key", []byte("half a k"))
	if _, err := load(ctx); err == nil || strings.Contains(err.Error(), "half a k") {
		t.Errorf("an expired pair serves on: %v", err)
	}
}
