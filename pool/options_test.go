package pool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/pool"
)

func TestNewRefusesMisuse(t *testing.T) {
	valid := pool.Options{Address: "127.0.0.1:10000"}
	for _, c := range []struct {
		option, value string
		change        func(*pool.Options)
	}{
		{"Address", `""`, func(o *pool.Options) { o.Address = "" }},
		{"Address", `"localhost"`, func(o *pool.Options) { o.Address = "localhost" }},
		{"Address", `":10000"`, func(o *pool.Options) { o.Address = ":10000" }},
		{"SeedAddresses", `"seed"`, func(o *pool.Options) { o.SeedAddresses = []string{"a:1", "seed"} }},
		{"SeedAddresses", "65 addresses", func(o *pool.Options) { o.SeedAddresses = make([]string, 65) }},
		{"Address", `"http://node:1"`, func(o *pool.Options) { o.Address = "http://node:1" }},
		{"Address", `"node:0"`, func(o *pool.Options) { o.Address = "node:0" }},
		{"Address", `"node:65536"`, func(o *pool.Options) { o.Address = "node:65536" }},
		{"Address", `"node:http"`, func(o *pool.Options) { o.Address = "node:http" }},
		{"Address", `"no de:1"`, func(o *pool.Options) { o.Address = "no de:1" }},
		{"Address", `"node:1/path"`, func(o *pool.Options) { o.Address = "node:1/path" }},
		{"SeedAddresses", `"me@node:1"`, func(o *pool.Options) { o.SeedAddresses = []string{"me@node:1"} }},
		{"RequestTimeout", "5ns", func(o *pool.Options) { o.RequestTimeout = 5 }},
		{"ConnectTimeout", "30ns", func(o *pool.Options) { o.ConnectTimeout = 30 }},
		{"IdleTimeout", "25ns", func(o *pool.Options) { o.IdleTimeout = 25 }},
		{"WatchLiveness", "15ns", func(o *pool.Options) { o.WatchLiveness = 15 }},
		{"FailoverBudget", "10ns", func(o *pool.Options) { o.FailoverBudget = 10 }},
		{"FailoverBudget", "-1s", func(o *pool.Options) { o.FailoverBudget = -time.Second }},
		{"MaxConnections", "-1", func(o *pool.Options) { o.MaxConnections = -1 }},
		{"MaxConnections", "65537", func(o *pool.Options) { o.MaxConnections = 65_537 }},
		{"MaxRequestSize", "1023", func(o *pool.Options) { o.MaxRequestSize = 1_023 }},
		{"ResponseMemory", "67108863", func(o *pool.Options) { o.ResponseMemory = 64<<20 - 1 }},
		{"MaxResponseSize", "-5", func(o *pool.Options) { o.MaxResponseSize = -5 }},
		{"PageBytes", "1", func(o *pool.Options) { o.PageBytes = 1 }},
		{"ProtocolVersion", "1", func(o *pool.Options) { o.ProtocolVersion = 1 }},
		{"ProtocolVersion", "4", func(o *pool.Options) { o.ProtocolVersion = 4 }},
		{"ConnectTimeout", "-1s", func(o *pool.Options) { o.ConnectTimeout = -time.Second }},
		{"RequestTimeout", "-1s", func(o *pool.Options) { o.RequestTimeout = -time.Second }},
		{"IdleTimeout", "-1s", func(o *pool.Options) { o.IdleTimeout = -time.Second }},
		{"WatchLiveness", "-1s", func(o *pool.Options) { o.WatchLiveness = -time.Second }},
	} {
		opts := valid
		c.change(&opts)
		_, err := pool.New(opts)
		var refusal *pool.OptionError
		if !errors.As(err, &refusal) || refusal.Option != c.option || refusal.Value != c.value {
			t.Errorf("%s = %s: got %v", c.option, c.value, err)
			continue
		}
		if !strings.Contains(err.Error(), refusal.Limit) || refusal.Limit == "" {
			t.Errorf("%v does not name the limit", err)
		}
	}
}

func TestNewOpensNoConnection(t *testing.T) {
	f := serve(t, each(echo))
	p := open(t, plain(f))
	if s := node(p); s.Dials != 0 || s.Address != f.address() {
		t.Errorf("after New: %+v", s)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if f.accepted() != 0 {
		t.Error("a connection was opened")
	}
}

// Seeds alone suffice, and a node named twice is one node.
func TestSeedAddresses(t *testing.T) {
	p := open(t, pool.Options{SeedAddresses: []string{" a:1", "b:1\n", "a:1"}})
	if nodes := p.Stats().Nodes; len(nodes) != 2 || nodes[0].Address != "a:1" {
		t.Errorf("%+v", nodes)
	}
}

func TestHooks(t *testing.T) {
	c := newCluster(t, "b:1", "b:1")
	opts := c.options("a:1", "b:1")
	var mu sync.Mutex
	var told []string
	tell := func(what string, err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(what, " ", err == nil))
	}
	opts.Hooks = pool.Hooks{
		Connected: func(c pool.Connected) { tell("connect "+c.Node, c.Err) },
		Answered:  func(a pool.Answered) { tell(a.Op.String()+" "+a.Node, a.Err) },
		Leader:    func(address string) { tell("leader "+address, nil) },
	}
	if err := writeOne(open(t, opts)); err != nil {
		t.Fatal(err)
	}
	want := []string{"connect a:1 false", "connect b:1 true", "write b:1 true", "leader b:1 true"}
	if !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}

// White space around addresses is trimmed, and a scheme is called one.
func TestAddressesAreCleaned(t *testing.T) {
	p := open(t, pool.Options{Address: " a:1\n", SeedAddresses: []string{"\tb:1 "}})
	if nodes := p.Nodes(); !slices.Equal(nodes, []string{"a:1", "b:1"}) {
		t.Errorf("%q", nodes)
	}
	if v, err := p.At(" b:1 "); err != nil || v.Node() != "b:1" {
		t.Errorf("%v", err)
	}
	if _, err := p.At("tcp://a:1"); !errors.Is(err, pool.ErrInvalid) || !strings.Contains(err.Error(), "scheme") {
		t.Errorf("%v", err)
	}
}
