package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// callbacks are all functions of the user's that a pool calls while it reads, each with f
// called from within.
func callbacks(opts pool.Options, f func()) map[string]pool.Options {
	with := func(change func(*pool.Options)) pool.Options {
		o := opts
		change(&o)
		return o
	}
	dial := new(net.Dialer).DialContext
	return map[string]pool.Options{
		"Dial": with(func(o *pool.Options) {
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				f()
				return dial(ctx, network, address)
			}
		}),
		"Identity": with(func(o *pool.Options) {
			o.Identity = func(context.Context) (pool.Credentials, error) {
				f()
				return pool.Credentials{APIKey: pool.NewAPIKey([pool.APIKeySize]byte{1})}, nil
			}
		}),
		"Logger":             with(func(o *pool.Options) { o.Logger = slog.New(logging(func(string) { f() })) }),
		"Hooks.Answered":     with(func(o *pool.Options) { o.Hooks.Answered = func(pool.Answered) { f() } }),
		"Hooks.Done":         with(func(o *pool.Options) { o.Hooks.Done = func(pool.Done) { f() } }),
		"Hooks.Connected":    with(func(o *pool.Options) { o.Hooks.Connected = func(pool.Connected) { f() } }),
		"Hooks.Disconnected": with(func(o *pool.Options) { o.Hooks.Disconnected = func(string) { f() } }),
		"Hooks.Leader":       with(func(o *pool.Options) { o.Hooks.Leader = func(string) { f() } }),
	}
}

// A function of the user's may panic, or end the goroutine it is called in: what it was
// called from gives back all it has.
func TestCallbacksMayDoAnything(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	for how, misbehave := range map[string]func(){"panics": func() { panic("mine") }, "ends its goroutine": runtime.Goexit} {
		var bad atomic.Bool
		f := func() {
			if bad.Load() {
				misbehave()
			}
		}
		for where, opts := range callbacks(pool.Options{Address: node.Addr(), MaxConnections: 2}, f) {
			if how == "ends its goroutine" && where == "Logger" {
				continue // in a goroutine of the pool's it is the end of an opening, as for the dialer
			}
			p := open(t, opts)
			bad.Store(true)
			for range 2 { // three would let the breaker rest
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { recover() }()
					writeOne(p)
				}()
				<-done
			}
			bad.Store(false)
			short, cancel := context.WithTimeout(ctx, 10*time.Second)
			if err := writeOneIn(short, p); err != nil {
				t.Errorf("%s that %s: %v, %+v", where, how, err, p.Stats())
			}
			cancel()
			if err := p.Close(ctx); err != nil {
				t.Errorf("%s that %s: %v", where, how, err)
			}
		}
	}
}

// A hook or logger that panics where the pool calls it in the background ends nothing.
func TestCallbacksInTheBackground(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1")
	opts := c.options("a:1", "b:1")
	opts.Hooks.Answered = func(a pool.Answered) {
		if a.Op == msg.TypeWriteRequest {
			panic("mine")
		}
	}
	opts.Logger = slog.New(logging(func(string) { panic("mine") }))
	p := open(t, opts)
	if err := details(ctx, p, 1); err != nil {
		t.Errorf("behind a search for the leader: %v", err)
	}
	node := celerianttest.Run(t, celerianttest.Options{})
	opts = pool.Options{Address: node.Addr(), Logger: opts.Logger}
	w, err := open(t, opts).Watch(ctx, &msg.WatchRequest{Shard: msg.Some[uint64](0), Orgs: []msg.ID{org}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// Close works from within every function of the user's.
func TestCloseFromWithinCallbacks(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	var p *pool.Pool
	var closed atomic.Int32
	for where, opts := range callbacks(pool.Options{Address: node.Addr(), MaxConnections: 2}, func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		closed.Add(1)
	}) {
		closed.Store(0)
		p = open(t, opts)
		within, cancel := context.WithTimeout(ctx, 20*time.Second)
		writeOneIn(within, p)
		if where == "Hooks.Disconnected" {
			p.Close(within)
		}
		for closed.Load() == 0 && within.Err() == nil {
			runtime.Gosched()
		}
		if within.Err() != nil {
			t.Errorf("%s: Close does not return", where)
		}
		if err := details(within, p, 1); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("%s: %v", where, err)
		}
		cancel()
	}
}

// Nil contexts and requests are refused, by name.
func TestNilArguments(t *testing.T) {
	f := serve(t, each(echo))
	p, c := open(t, plain(f)), connect(t, plain(f))
	var none context.Context
	second := func(_ any, err error) error { return err }
	for what, err := range map[string]error{
		"context of read":    second(p.Read(none, &msg.ReadRequest{Key: key})),
		"context of details": second(p.Details(none, key)),
		"context of a Conn":  second(c.Details(none, key)),
		"context of watch":   second(p.Watch(none, &msg.WatchRequest{})),
		"context of leader":  second(p.Leader(none)),
		"context of leads":   second(p.Leads(none, f.address())),
		"context of close":   p.Close(none),
		"context of connect": second(pool.Connect(none, plain(f))),
		"request of read":    second(p.Read(ctx, nil)),
		"request of write":   second(p.Write(ctx, nil)),
		"request of watch":   second(p.Watch(ctx, nil)),
		"page of read":       p.ReadInto(ctx, &msg.ReadRequest{}, nil),
	} {
		if word, _, _ := strings.Cut(what, " "); !errors.Is(err, pool.ErrInvalid) || !strings.Contains(err.Error(), "the "+word+" is nil") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, err := range p.ReadAll(none, key, msg.ReadFilters{}) {
		if !errors.Is(err, pool.ErrInvalid) {
			t.Errorf("read all: %v", err)
		}
	}
	for _, err := range p.ListOrgs(none) {
		if !errors.Is(err, pool.ErrInvalid) {
			t.Errorf("list: %v", err)
		}
	}
	if err := details(ctx, p, 1); err != nil {
		t.Errorf("closed with a nil context: %v", err)
	}
}

// Hooks and Stats tell what a metrics adapter and a status page need.
func TestHooksAndStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "a:1", "b:1")
		opts := c.options("a:1", "b:1")
		opts.FailoverBudget = 300 * time.Millisecond
		var done []pool.Done
		var leaders []string
		var retried atomic.Int32
		var breaker atomic.Value
		opts.Hooks = pool.Hooks{
			Done:    func(d pool.Done) { done = append(done, d) },
			Leader:  func(address string) { leaders = append(leaders, address) },
			Retried: func(r pool.Retried) { retried.Add(1) },
			Breaker: func(b pool.BreakerChange) { breaker.Store(b) },
		}
		p := open(t, opts)
		if err := writeOne(p); err != nil {
			t.Fatal(err)
		}
		if d := done[0]; len(done) != 1 || d.Op != msg.TypeWriteRequest || d.Attempts != 2 || d.Err != nil || len(leaders) != 1 || leaders[0] != "b:1" {
			t.Errorf("done %+v, leaders %v", done, leaders)
		}
		s := p.Stats()
		if s.Leader != "b:1" || s.Nodes[0].Leadership != pool.Following || s.Nodes[1].Leadership != pool.Leading || !s.Nodes[0].Configured {
			t.Errorf("%+v", s)
		}
		c.set(func() { c.leader, c.down["a:1"], c.down["b:1"] = "", true, true })
		c.fakes["a:1"].cut()
		c.fakes["b:1"].cut()
		if err := guardedWrite(ctx, p); !errors.Is(err, pool.ErrNoLeader) {
			t.Error(err)
		}
		last, _ := breaker.Load().(pool.BreakerChange)
		if d := done[len(done)-1]; d.Err == nil || d.Attempts < 3 || retried.Load() == 0 || last.Failures < 3 {
			t.Errorf("done %+v, retried %d, breaker %+v", d, retried.Load(), last)
		}
		if s := p.Stats(); s.Failures != 1 || s.Nodes[0].LastFailure == nil {
			t.Errorf("%+v", s)
		}
	})
}
