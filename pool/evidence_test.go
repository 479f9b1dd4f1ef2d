package pool_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A leader that does not answer what is bound to it is doubted like one that does
// not answer what went to the leader: the next one goes elsewhere.
func TestBoundRequestsDoubtTheLeader(t *testing.T) {
	list := func(p *pool.Pool) (last error) {
		for _, err := range p.ListOrgs(ctx) {
			last = err
		}
		return last
	}
	at := func(do func(*pool.View) error) func(*pool.Pool) error {
		return func(p *pool.Pool) error {
			v, err := p.At("a:1")
			if err != nil {
				return err
			}
			return do(v)
		}
	}
	for name, do := range map[string]func(*pool.Pool) error{
		"list":     list,
		"details":  at(func(v *pool.View) error { _, err := v.Details(ctx, key); return err }),
		"read":     at(func(v *pool.View) error { _, err := v.Read(ctx, &msg.ReadRequest{Key: key}); return err }),
		"watch":    at(func(v *pool.View) error { _, err := v.Watch(ctx, &msg.WatchRequest{}); return err }),
		"mutation": at(func(v *pool.View) error { _, err := v.Write(ctx, oneWrite); return err }),
	} {
		for kind, fail := range map[string]func(*cluster){
			"down":   func(c *cluster) { c.down["a:1"] = true },
			"silent": func(c *cluster) {},
		} {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, "a:1", "a:1", "b:1")
				c.reply = func(_ string, req msg.Request) msg.Response {
					if r, ok := req.(*msg.ListOrgsRequest); ok && r.Shard == 0 {
						return &msg.ListOrgsResponse{}
					}
					return nil
				}
				lists := c.reply
				p := open(t, c.options("a:1", "b:1"))
				if err := list(p); err != nil {
					t.Fatal(err)
				}
				away := make(chan struct{})
				defer close(away)
				silence := func(address string, req msg.Request) msg.Response {
					if address == "a:1" {
						c.mu.Unlock()
						<-away
						c.mu.Lock()
						return hangUp
					}
					return lists(address, req)
				}
				c.set(func() { c.leader, c.reply = "b:1", silence; fail(c) })
				if kind == "down" {
					c.fakes["a:1"].cut()
				}
				if err := do(p); err == nil {
					t.Errorf("%s, %s: nothing failed", name, kind)
				}
				next := list
				if name == "mutation" {
					next = writeOne // which must not be repeated, had it begun at a
				}
				if err := next(p); err != nil {
					t.Errorf("%s, %s: the next one: %v", name, kind, err)
				}
			})
		}
	}
}

// A cancelled request of the leader's view is no evidence against the leader.
func TestBoundRequestsThatWereLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a:1", "a:1", "b:1")
		opts := c.options("a:1", "b:1")
		var dialled func()
		opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dialled != nil {
				dialled()
				return nil, ctx.Err()
			}
			return c.dial(ctx, network, address)
		}
		p := open(t, opts)
		if _, err := p.Leader(ctx); err != nil {
			t.Fatal(err)
		}
		v, err := p.At("a:1")
		if err != nil {
			t.Fatal(err)
		}
		away := make(chan struct{})
		c.set(func() {
			c.reply = func(string, msg.Request) msg.Response {
				c.mu.Unlock()
				<-away
				c.mu.Lock()
				return hangUp
			}
		})
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if _, err := v.Details(short, key); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(away)
		synctest.Wait()
		left, leave := context.WithCancel(ctx)
		c.set(func() { c.reply = nil })
		dialled = leave // in the middle of the next dial
		if _, err := v.Details(left, key); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		synctest.Wait() // for the dial, which is the pool's
		dialled = nil
		c.taken()
		if err := details(ctx, p, 1); err != nil {
			t.Error(err)
		}
		wantLog(t, c, "a:1 details")
	})
}

// A node that cannot be connected to is asked last, so that a silent address does not
// keep a search from the node behind it.
func TestDoubtfulNodesComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "a:1", "b:1")
		opts := c.options("a:1", "b:1")
		c.down["a:1"] = true
		p := open(t, opts)
		v, err := p.At("a:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Details(ctx, key); !errors.Is(err, pool.ErrConnect) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		before := dials(p, "a:1")
		if err := details(ctx, p, 1); err != nil || dials(p, "a:1") != before {
			t.Errorf("%d dials more: %v", dials(p, "a:1")-before, err)
		}
		c.set(func() { c.leader, c.down["a:1"] = "a:1", false })
		time.Sleep(10 * time.Second)
		if err := writeOne(p); err != nil {
			t.Errorf("the node asked last leads: %v", err)
		}
	})
}

// Callers with pauses of their own do not ask the nodes more often together than
// one of them would.
func TestNobodyLeadingIsAskedForSparingly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "", "a:1", "b:1")
		opts := c.options("a:1", "b:1")
		opts.FailoverBudget = 2 * time.Second
		p := open(t, opts)
		done := make(chan error)
		const callers = 200
		for range callers {
			go func() { done <- details(ctx, p, 1) }()
		}
		for range callers {
			if err := <-done; !errors.Is(err, pool.ErrNoLeader) || len(attemptsOf(err)) != 2 {
				t.Fatalf("without what the nodes said: %v", err)
			}
		}
		if asked := len(c.taken()); asked > 2*int(2*time.Second/(25*time.Millisecond))+2 {
			t.Errorf("%d probes", asked)
		}
	})
}

// A leader that comes back is found within 100 ms, also when there are several
// nodes to ask.
func TestReturningLeaderIsFoundSoon(t *testing.T) {
	for _, away := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 8 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, "a:1", "a:1", "b:1")
			p := open(t, c.options("a:1", "b:1"))
			c.down["a:1"], c.down["b:1"] = true, true
			time.AfterFunc(away, func() { c.set(func() { c.down["a:1"] = false }) })
			began := time.Now()
			if err := details(ctx, p, 1); err != nil {
				t.Fatal(err)
			}
			if late := time.Since(began) - away; late > 200*time.Millisecond {
				t.Errorf("away for %v, found %v later", away, late)
			}
		})
	}
}

// Nor does it when the question was whether it leads.
func TestLeavingAQuestionKeepsTheLeader(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1")
	p := open(t, c.options("a:1", "b:1"))
	if _, err := p.Leader(ctx); err != nil {
		t.Fatal(err)
	}
	over, leave := context.WithCancel(ctx)
	c.set(func() { c.reply = func(string, msg.Request) msg.Response { leave(); return hangUp } })
	if leads, err := p.Leads(over, "b:1"); leads != pool.LeadershipUnknown || err == nil {
		t.Error(leads, err)
	}
	c.set(func() { c.reply = nil })
	c.taken()
	if err := details(ctx, p, 1); err != nil {
		t.Error(err)
	}
	wantLog(t, c, "b:1 details")
}

// A leader that vanishes without a word, as with its machine, does not keep
// anybody from seeing who takes over.
func TestSilentAddressDoesNotHoldUpASearch(t *testing.T) {
	for name, c := range map[string]struct {
		do       func(*pool.Pool) error
		promoted time.Duration
		late     time.Duration
	}{
		"read":                     {func(p *pool.Pool) error { return details(ctx, p, 1) }, 2500 * time.Millisecond, 300 * time.Millisecond},
		"read, later":              {func(p *pool.Pool) error { return details(ctx, p, 1) }, 6 * time.Second, 300 * time.Millisecond},
		"write":                    {writeOne, 2500 * time.Millisecond, time.Second}, // with longer pauses
		"nobody has to be awaited": {writeOne, 0, pool.DefaultConnectTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newCluster(t, "", "a:1", "b:1")
			opts := nodes.options("a:1", "b:1")
			opts.Dial = blackHole("a:1", opts.Dial)
			p := open(t, opts)
			time.AfterFunc(c.promoted, func() { nodes.set(func() { nodes.leader = "b:1" }) })
			began := time.Now()
			if err := c.do(p); err != nil {
				t.Fatal(err)
			}
			if late := time.Since(began) - c.promoted; late > c.late {
				t.Errorf("%s: found %v later", name, late)
			}
		})
	}
}

// A follower that vanished keeps reads no longer than it takes to notice.
func TestSilentFollowerDoesNotHoldUpReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "a:1", "b:1", "c:1")
		opts := c.options("a:1", "b:1", "c:1")
		opts.RouteReadsToFollowers = true
		opts.Dial = blackHole("a:1", opts.Dial)
		p := open(t, opts)
		if err := details(ctx, p, 1); err != nil { // which finds out
			t.Fatal(err)
		}
		for range 20 {
			began := time.Now()
			if err := details(ctx, p, 1); err != nil || time.Since(began) > 100*time.Millisecond {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		}
	})
}

// A node that answers late is connected to in the background meanwhile, by one dial, and
// then asked.
func TestSlowAddressIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a:1", "a:1", "b:1")
		opts := c.options("a:1", "b:1")
		dial := opts.Dial
		var dials atomic.Int32
		opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "a:1" {
				if dials.Add(1) == 1 {
					return nil, errors.New("refused")
				}
				time.Sleep(700 * time.Millisecond)
			}
			return dial(ctx, network, address)
		}
		c.hints["b:1"] = ""
		p := open(t, opts)
		began := time.Now()
		if err := details(ctx, p, 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second || dials.Load() != 2 {
			t.Errorf("after %v and %d dials", took, dials.Load())
		}
	})
}

// A write that only a client sequence guards is repeated at the leader that did not answer,
// but no longer once another node is found to lead: it cannot be sent there, and whoever
// made it must decide.
func TestWritesEndWhenTheirLeaderIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a:1", "a:1", "b:1")
		opts := c.options("a:1", "b:1")
		opts.FailoverBudget = time.Hour
		p := open(t, opts)
		if err := writeOne(p); err != nil {
			t.Fatal(err)
		}
		away := make(chan struct{})
		defer close(away)
		c.set(func() {
			c.leader = "b:1"
			c.reply = func(address string, _ msg.Request) msg.Response {
				if address != "a:1" {
					return nil
				}
				c.mu.Unlock()
				<-away
				c.mu.Lock()
				return hangUp
			}
		})
		began := time.Now()
		_, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{EnforceIdempotency: true})
		if took := time.Since(began); !msg.Ambiguous(err) || took > time.Minute {
			t.Errorf("%v after %v", err, took)
		}
		c.taken()
		if err := writeOne(p); err != nil {
			t.Errorf("the next one: %v", err)
		}
		wantLog(t, c, "b:1 write")
	})
}
