package access_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/gateway/access"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	org1  = "00000000-0000-0000-0000-000000000001"
	org2  = "00000000-0000-0000-0000-000000000002"
	type1 = org1 + "/00000000-0000-0000-0000-000000000011"
)

func id(text string) msg.ID { return msg.MustParseID(text) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, text string) *access.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.json")
	write(t, path, text)
	f, err := access.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestKeysAuthenticate(t *testing.T) {
	token, hash := access.NewKey("k1")
	short, _ := access.NewKey("k3")
	f := open(t, `{"callers":[
		{"name":"billing","tenant":"finance","keys":[{"id":"k1","sha256":"`+hash+`"},
			{"id":"old","sha256":"`+hash+`","expires":"2020-01-01T00:00:00Z"}]},
		{"name":"other","keys":[{"id":"k2","sha256":"`+strings.Repeat("0", 64)+`"}]}]}`)
	_, secret, _ := strings.Cut(token, ".")
	p, err := f.Authenticate(context.Background(), access.Credentials{Bearer: token})
	if err != nil || p.Name != "billing" || p.Tenant != "finance" || p.UserID.IsZero() {
		t.Errorf("the good key: %+v, %v", p, err)
	}
	for name, bearer := range map[string]string{
		"no credentials": "", "an unknown id": "k9." + secret, "another id's secret": "k2." + secret, "a wrong secret": token + "x",
		"an expired key": "old." + secret, "no secret": "k1", "an empty secret": "k1.", "an unknown key": short, "the secret alone": secret,
	} {
		if p, err := f.Authenticate(context.Background(), access.Credentials{Bearer: bearer}); !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestCertificatesAuthenticateByURIAndDNSNames(t *testing.T) {
	f := open(t, `{"callers":[{"name":"billing","certificates":["spiffe://example/billing","billing.example.com"]}]}`)
	uri, _ := url.Parse("spiffe://example/billing")
	other, _ := url.Parse("spiffe://example/other")
	later := time.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		certificate *x509.Certificate
		want        bool
	}{
		"URI":           {&x509.Certificate{URIs: []*url.URL{uri}, NotAfter: later}, true},
		"DNS name":      {&x509.Certificate{DNSNames: []string{"billing.example.com"}, NotAfter: later}, true},
		"another URI":   {&x509.Certificate{URIs: []*url.URL{other}, NotAfter: later}, false},
		"expired":       {&x509.Certificate{URIs: []*url.URL{uri}, NotAfter: time.Now().Add(-time.Hour)}, false},
		"common name":   {commonName("billing.example.com", later), false},
		"no name":       {&x509.Certificate{NotAfter: later}, false},
		"no one at all": {nil, false},
	} {
		p, err := f.Authenticate(context.Background(), access.Credentials{Certificate: test.certificate})
		if (err == nil) != test.want {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func commonName(name string, until time.Time) *x509.Certificate {
	c := &x509.Certificate{NotAfter: until}
	c.Subject.CommonName = name
	return c
}

func TestRights(t *testing.T) {
	f := open(t, `{"callers":[
		{"name":"a","read":["`+org1+`"],"write":["`+type1+`"],"consume":["orders","bill-*"],"operate":["orders"]},
		{"name":"all","read":["*"]}]}`)
	resources := map[string]access.Resource{
		"everything": {Kind: access.Everything}, "org 1": access.OfOrg(id(org1)), "org 2": access.OfOrg(id(org2)),
		"type of org 1": access.OfType(id(org1), id(org2)), "its own type": access.OfType(id(org1), msg.IDFromUint64(0x11)),
		"type of org 2": access.OfType(id(org2), msg.IDFromUint64(0x11)),
		"orders":        access.OfSubscription("orders"), "bill-7": access.OfSubscription("bill-7"), "billing": access.OfSubscription("billing"),
	}
	allowed := map[string]bool{
		"a read org 1": true, "a read type of org 1": true, "a read its own type": true,
		"a write its own type": true,
		"a consume orders":     true, "a consume bill-7": true, "a operate orders": true,
		"all read everything": true, "all read org 1": true, "all read org 2": true, "all read type of org 1": true,
		"all read its own type": true, "all read type of org 2": true,
	}
	for _, name := range []string{"a", "all", "nobody"} {
		for _, action := range []access.Action{access.Read, access.Write, access.Administer, access.Consume, access.Operate} {
			for what, r := range resources {
				err := f.Authorize(context.Background(), access.Principal{Name: name}, action, r)
				if want := allowed[name+" "+action.String()+" "+what]; (err == nil) != want {
					t.Errorf("%s %v %s: %v, want allowed %v", name, action, what, err, want)
				}
				if err != nil && !errors.Is(err, access.ErrDenied) {
					t.Errorf("%v is not ErrDenied", err)
				}
			}
		}
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	hash := strings.Repeat("0", 64)
	for name, text := range map[string]string{
		"no JSON":                  `callers`,
		"more than one object":     `{} {}`,
		"an unknown field":         `{"callers":[{"name":"a","raed":["*"]}]}`,
		"no name":                  `{"callers":[{}]}`,
		"a name with a slash":      `{"callers":[{"name":"a/b"}]}`,
		"a tenant with a slash":    `{"callers":[{"name":"a","tenant":"b/c"}]}`,
		"a name twice":             `{"callers":[{"name":"a"},{"name":"a"}]}`,
		"a key id with a dot":      `{"callers":[{"name":"a","keys":[{"id":"k.1","sha256":"` + hash + `"}]}]}`,
		"a key id twice":           `{"callers":[{"name":"a","keys":[{"id":"k","sha256":"` + hash + `"},{"id":"k","sha256":"` + hash + `"}]}]}`,
		"a short hash":             `{"callers":[{"name":"a","keys":[{"id":"k","sha256":"00"}]}]}`,
		"no organisation":          `{"callers":[{"name":"a","read":["orders"]}]}`,
		"no type":                  `{"callers":[{"name":"a","read":["` + org1 + `/orders"]}]}`,
		"an empty name to consume": `{"callers":[{"name":"a","consume":[""]}]}`,
		"a certificate twice":      `{"callers":[{"name":"a","certificates":["x"]},{"name":"b","certificates":["x"]}]}`,
	} {
		path := filepath.Join(t.TempDir(), "auth.json")
		write(t, path, text)
		if _, err := access.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A file that does not parse keeps the last good one in force, and says so.
func TestABadFileKeepsTheLastGoodOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth.json")
	write(t, path, `{"callers":[{"name":"a","read":["*"]}]}`)
	f, err := access.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := f.Changed()
	write(t, path, `{"callers":[`)
	if _, err := f.Reload(); err == nil || f.Err() == nil {
		t.Error("the bad file is not reported")
	}
	everything := access.Resource{Kind: access.Everything}
	if err := f.Authorize(context.Background(), access.Principal{Name: "a"}, access.Read, everything); err != nil {
		t.Errorf("the last good right: %v", err)
	}
	select {
	case <-changed:
		t.Error("a bad file counts as a change")
	default:
	}
	write(t, path, `{"callers":[{"name":"a"}]}`)
	if changed, err := f.Reload(); !changed || err != nil || f.Err() != nil {
		t.Errorf("reload: %v, %v, %v", changed, err, f.Err())
	}
	<-changed
	if err := f.Authorize(context.Background(), access.Principal{Name: "a"}, access.Read, everything); err == nil {
		t.Error("the right that was taken away is still there")
	}
	if changed, err := f.Reload(); changed || err != nil {
		t.Errorf("reload of the same: %v, %v", changed, err)
	}
}

// Ids that are derived belong to one principal and one name.
func TestDerivedIDs(t *testing.T) {
	seen := map[msg.ID]string{}
	for _, pair := range [][2]string{{"a", ""}, {"a", "b"}, {"ab", ""}, {"", "ab"}, {"a", "c"}, {"b", "a"}} {
		derived := access.DerivedID(pair[0], pair[1])
		if other, twice := seen[derived]; twice {
			t.Errorf("%q has the id of %s", pair, other)
		}
		seen[derived] = pair[0] + "|" + pair[1]
		if derived[6]>>4 != 5 || derived[8]>>6 != 2 {
			t.Errorf("%v is no UUID of version 5", derived)
		}
	}
	// The golden value: clients in other languages derive the same.
	if got := access.DerivedID("billing", "worker-1").String(); got != "a88a56ad-d626-5a59-9caf-df3df692c8e7" {
		t.Errorf("the id of billing and worker-1 is %s", got)
	}
}
