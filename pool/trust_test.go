package pool_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// dialled is the addresses that a write comes to dial when the node at teller names another
// one as the leader.
func dialled(t *testing.T, teller, named string, change func(*pool.Options)) (seen map[string]bool) {
	t.Helper()
	seen = make(map[string]bool)
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		f.script = each(func(_ *peer, req msg.Request) msg.Response {
			if _, ok := req.(*msg.IdentifyRequest); ok {
				return &msg.IdentifyResponse{}
			}
			return &msg.ErrorResponse{Code: msg.CodeWriteNotLeader, Message: fmt.Sprintf(`{"leader_address":%q}`, named)}
		})
		t.Cleanup(f.stop)
		var mu sync.Mutex
		opts := pool.Options{Address: teller, DisableCompression: true, FailoverBudget: time.Millisecond,
			Dial: func(_ context.Context, _, address string) (net.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				seen[address] = true
				client, server := net.Pipe()
				f.start(server)
				return client, nil
			}}
		change(&opts)
		p := open(t, opts)
		_ = writeOne(p)
		_ = p.Close(ctx)
	})
	return seen
}

// A node names only addresses that it may share a network with, and none that serves to
// reach something else.
func TestNamedAddresses(t *testing.T) {
	for _, c := range []struct {
		teller, named string
		followed      bool
	}{
		{"127.0.0.1:1", "127.0.0.1:2", true},
		{"localhost:1", "127.0.0.1:2", true},
		{"node:1", "other:1", true},
		{"node:1", "10.0.0.2:1", true},
		{"10.0.0.1:1", "10.0.0.2:1", true},
		{"10.0.0.1:1", "192.168.0.2:1", true},
		{"198.51.100.1:1", "198.51.100.2:1", true},
		{"[fd00::1]:1", "[fd00::2]:1", true},
		{"10.0.0.1:1", "127.0.0.1:2", false},
		{"node:1", "127.0.0.1:2", false},
		{"node:1", "localhost:2", false},
		{"node:1", "db.localhost.:2", false},
		{"198.51.100.1:1", "10.0.0.2:1", false},
		{"10.0.0.1:1", "198.51.100.2:1", false},
		{"127.0.0.1:1", "198.51.100.2:1", false},
		{"10.0.0.1:1", "169.254.169.254:80", false},
		{"node:1", "169.254.169.254:80", false},
		{"node:1", "[::ffff:169.254.169.254]:80", false},
		{"node:1", "[fe80::1]:1", false},
		{"node:1", "[fd00:ec2::254]:80", false},
		{"node:1", "100.100.100.200:80", false},
		{"node:1", "224.0.0.1:1", false},
		{"node:1", "255.255.255.255:1", false},
		{"node:1", "0.0.0.0:1", false},
		{"node:1", "[::]:1", false},
		{"node:1", "other", false},
		{"node:1", "other:0", false},
		{"node:1", "other:70000", false},
		{"node:1", "http://other:1", false},
		{"node:1", "other host:1", false},
		{"node:1", "other\n:1", false},
	} {
		if seen := dialled(t, c.teller, c.named, func(*pool.Options) {}); seen[c.named] != c.followed {
			t.Errorf("%s names %q: dialled %v", c.teller, c.named, seen)
		}
	}
	mapped := func(o *pool.Options) { o.MapAddress = func(string) string { return "127.0.0.1:9" } }
	if seen := dialled(t, "node:1", "inside:1", mapped); !seen["127.0.0.1:9"] {
		t.Errorf("mapped: %v", seen)
	}
	panics := func(o *pool.Options) { o.MapAddress = func(string) string { panic("mine") } }
	if seen := dialled(t, "node:1", "inside:1", panics); len(seen) != 1 {
		t.Errorf("a mapping that panics: %v", seen)
	}
}

// With credentials only configured addresses are followed, and those that an option names.
func TestCredentialsGoWhereTheyMay(t *testing.T) {
	identity := pool.FixedIdentity(pool.Credentials{APIKey: pool.NewAPIKey([pool.APIKeySize]byte{1})})
	for name, c := range map[string]struct {
		trust    pool.Trust
		seeds    []string
		followed bool
	}{
		"nothing":        {nil, nil, false},
		"a seed":         {nil, []string{"10.0.0.2:2"}, true},
		"same host":      {pool.TrustSameHosts, nil, false},
		"same host, too": {pool.TrustSameHosts, []string{"10.0.0.2:1"}, true},
		"a list":         {pool.TrustAddresses("10.0.0.2:2"), nil, true},
		"another list":   {pool.TrustAddresses("10.0.0.2:3"), nil, false},
		"a network":      {pool.TrustNetworks(netip.MustParsePrefix("10.0.0.0/30")), nil, true},
		"another one":    {pool.TrustNetworks(netip.MustParsePrefix("10.1.0.0/16")), nil, false},
		"panic":          {func(string, []string) bool { panic("mine") }, nil, false},
	} {
		seen := dialled(t, "10.0.0.1:1", "10.0.0.2:2", func(o *pool.Options) {
			o.Identity, o.Trust, o.SeedAddresses = identity, c.trust, c.seeds
		})
		if seen["10.0.0.2:2"] != c.followed {
			t.Errorf("%s: dialled %v", name, seen)
		}
	}
	refuses := func(o *pool.Options) { o.Trust = func(string, []string) bool { return false } }
	if seen := dialled(t, "10.0.0.1:1", "10.0.0.2:2", refuses); seen["10.0.0.2:2"] {
		t.Error("without credentials a node is followed that Trust refuses")
	}
	p := open(t, pool.Options{Address: "10.0.0.1:1", Identity: identity})
	if _, err := p.At("10.0.0.2:2"); !errors.Is(err, pool.ErrUntrusted) {
		t.Errorf("At: %v", err)
	}
	if leads, err := p.Leads(ctx, "10.0.0.2:2"); leads != pool.LeadershipUnknown || !errors.Is(err, pool.ErrUntrusted) {
		t.Errorf("Leads: %v, %v", leads, err)
	}
}

// Under TLS a node that is not configured must have a certificate made out to one that is,
// or to itself where Trust vouches for it: some authority has signed for everybody.
func TestLearntNodesProveAConfiguredName(t *testing.T) {
	a := newAuthority(t)
	node := func(name string) *celerianttest.Node {
		pair := a.pair(name)
		return celerianttest.Run(t, celerianttest.Options{TLS: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}})
	}
	same, other := node("db.test"), node("other.test")
	for name, c := range map[string]struct {
		at       *celerianttest.Node
		trust    pool.Trust
		accepted bool
	}{
		"the configured name":       {same, nil, true},
		"another name":              {other, nil, false},
		"another name, vouched for": {other, pool.TrustAddresses("other.test:2"), true},
	} {
		p := open(t, pool.Options{
			Address: "db.test:1", TLS: &pool.TLS{Roots: a.roots}, Trust: c.trust,
			Identity: pool.FixedIdentity(pool.Credentials{KeyPair: keyPair(t)}),
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, c.at.Addr())
			}})
		v, err := p.At("other.test:2")
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Details(ctx, key)
		if accepted := errors.Is(err, msg.ErrNotFound); accepted != c.accepted || !accepted && !errors.Is(err, pool.ErrTLS) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// To ask a node does not make it a member: the next write goes where it went before.
func TestAskingMakesNoMember(t *testing.T) {
	ours, other := celerianttest.Run(t, celerianttest.Options{}), celerianttest.Run(t, celerianttest.Options{})
	p := open(t, pool.Options{Address: ours.Addr()})
	if err := writeOne(p); err != nil {
		t.Fatal(err)
	}
	if leads, err := p.Leads(ctx, other.Addr()); leads != pool.Leading || err != nil {
		t.Errorf("%v, %v", leads, err)
	}
	v, err := p.At(other.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Details(ctx, key); !errors.Is(err, msg.ErrNotFound) {
		t.Error(err)
	}
	if version, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{}); version != 2 || err != nil {
		t.Errorf("version %d, %v", version, err)
	}
	if nodes := p.Nodes(); len(nodes) != 1 {
		t.Errorf("members: %v", nodes)
	}
	if s := p.Stats(); len(s.Nodes) != 2 || !s.Nodes[1].Guest {
		t.Errorf("%+v", s.Nodes)
	}
}

// Nor does a node that is asked make another one a member by naming it.
func TestHintsOfGuestsMakeNoMember(t *testing.T) {
	c := newCluster(t, "c:1", "a:1", "b:1", "c:1")
	p := open(t, c.options("a:1"))
	if leads, err := p.Leads(ctx, "b:1"); leads != pool.Following || err != nil {
		t.Errorf("%v, %v", leads, err)
	}
	if nodes := p.Nodes(); len(nodes) != 1 {
		t.Errorf("members: %v", nodes)
	}
}
