package pool_test

import (
	"context"
	"errors"
	"strings"
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
		{"MaxConnections", "-1", func(o *pool.Options) { o.MaxConnections = -1 }},
		{"MaxConnections", "65537", func(o *pool.Options) { o.MaxConnections = 65_537 }},
		{"MaxRequestSize", "1023", func(o *pool.Options) { o.MaxRequestSize = 1_023 }},
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
