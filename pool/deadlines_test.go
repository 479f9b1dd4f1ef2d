package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// outage is how a node is away: its connections are refused, or swallowed, or the process
// stands still.
type outage struct {
	away    atomic.Bool
	how     string
	address string

	mu  sync.Mutex
	old []*stalling
}

// stalling is a connection to a node that may stand still.
type stalling struct {
	net.Conn
	o    *outage
	over chan struct{}
	once sync.Once
}

// Write takes what nobody reads, as a kernel does for a while.
func (s *stalling) Write(b []byte) (int, error) {
	if s.o.away.Load() {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

func (s *stalling) Close() error {
	s.once.Do(func() { close(s.over) })
	return s.Conn.Close()
}

func (o *outage) dial(dial pool.DialFunc) pool.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != o.address {
			return dial(ctx, network, address)
		}
		if o.away.Load() {
			switch o.how {
			case "dead":
				return nil, syscall.ECONNREFUSED
			case "black hole":
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}
		nc, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		s := &stalling{Conn: nc, o: o, over: make(chan struct{})}
		o.mu.Lock()
		o.old = append(o.old, s)
		o.mu.Unlock()
		return s, nil
	}
}

// begin begins the outage; connections of a dead node are reset.
func (o *outage) begin() {
	o.away.Store(true)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.old {
		if o.how == "dead" {
			s.Conn.Close()
		}
	}
}

// When the first address fails in any way, or the leader in the middle of work, callers with
// short deadlines of their own, one after the other, are served by the healthy node
// within 3 s; so are watches. No single caller waits long enough to find the node alone.
func TestShortDeadlines(t *testing.T) {
	operations := map[string]func(context.Context, *pool.Pool) error{
		"read": func(ctx context.Context, p *pool.Pool) error { return details(ctx, p, 1) },
		"write": func(ctx context.Context, p *pool.Pool) error {
			_, err := p.WriteEvents(ctx, key, []msg.Event{{Major: 1}}, me, pool.WriteOptions{})
			return err
		},
		"watch": func(ctx context.Context, p *pool.Pool) error {
			w, err := p.Watch(ctx, &msg.WatchRequest{})
			if err == nil {
				w.Close()
			}
			return err
		},
		"list": func(ctx context.Context, p *pool.Pool) (last error) {
			for _, err := range p.ListOrgs(ctx) {
				last = err
			}
			return last
		},
	}
	for _, how := range []string{"dead", "black hole", "paused"} {
		for _, when := range []string{"from the start", "later", "read-only, later", "followers, later"} {
			for _, deadline := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 1999 * time.Millisecond} {
				for name, do := range operations {
					if name == "write" && when == "read-only, later" {
						continue
					}
					synctest.Test(t, func(t *testing.T) {
						c := newCluster(t, "a:1", "a:1", "b:1")
						readOnly := when == "read-only, later"
						c.reply = func(_ string, req msg.Request) msg.Response {
							switch {
							case readOnly && req.RequestType().Mutates():
								return &msg.ErrorResponse{Code: msg.CodeReadOnlyKey, Message: "read-only"}
							case req.RequestType() == msg.TypeWatchRequest:
								return &msg.WatchResponse{}
							case req.RequestType() == msg.TypeListOrgsRequest && req.(*msg.ListOrgsRequest).Shard == 0:
								return &msg.ListOrgsResponse{}
							}
							return nil
						}
						o := &outage{how: how, address: "a:1"}
						opts := c.options("a:1", "b:1")
						opts.RouteReadsToFollowers = when == "followers, later"
						opts.Dial = o.dial(opts.Dial)
						p := open(t, opts)
						if when != "from the start" {
							for range 3 {
								if err := do(ctx, p); err != nil {
									t.Fatal(err)
								}
							}
						}
						o.begin()
						c.set(func() { c.leader = "b:1" })
						var first time.Time
						for try := 0; ; try++ {
							short, cancel := context.WithTimeout(ctx, deadline)
							err := do(short, p)
							cancel()
							if first.IsZero() {
								first = time.Now()
							}
							if err == nil {
								break
							}
							if waited := time.Since(first); waited > 3*time.Second {
								t.Errorf("%s at %v, %s, %s: %d tries within %v: %v", name, deadline, how, when, try, waited, err)
								break
							}
						}
						p.Close(ctx)
					})
				}
			}
		}
	}
}

// A caller who leaves of its own accord says nothing about the node; one whose time is over
// does.
func TestCancelIsNoEvidence(t *testing.T) {
	for _, cancelled := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, "a:1", "a:1", "b:1")
			p := open(t, c.options("a:1", "b:1"))
			if err := details(ctx, p, 1); err != nil {
				t.Fatal(err)
			}
			slow := make(chan struct{})
			c.reply = func(_ string, req msg.Request) msg.Response {
				if req.RequestType() == msg.TypeDetailsRequest {
					<-slow
				}
				return nil
			}
			over, leave := context.WithTimeout(ctx, 300*time.Millisecond)
			if cancelled {
				time.AfterFunc(200*time.Millisecond, leave)
			}
			if err := details(over, p, 1); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			leave()
			if known := p.Stats().Leader != ""; known != cancelled {
				t.Errorf("cancelled %v: the leader is known: %v", cancelled, known)
			}
			close(slow)
			synctest.Wait()
		})
	}
}

// The leader is asked again before the trust in it runs out, without anybody waiting for
// that, however slow the answer.
func TestTrustIsRenewedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a:1", "a:1", "b:1")
		p := open(t, c.options("a:1", "b:1"))
		if err := details(ctx, p, 1); err != nil {
			t.Fatal(err)
		}
		slow := false
		c.reply = func(_ string, req msg.Request) msg.Response {
			if slow && req.RequestType() == msg.TypeWriteRequest {
				c.mu.Unlock() // others are answered meanwhile
				time.Sleep(time.Second)
				c.mu.Lock()
			}
			return nil
		}
		slow = true
		for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
			before := time.Now()
			if err := details(ctx, p, 1); err != nil || time.Since(before) > 0 {
				t.Fatalf("a read took %v: %v", time.Since(before), err)
			}
		}
	})
}

// A leader that is paused, and answers out of the past when it goes on, does not take the
// place of the one that was found meanwhile.
func TestLateProbeChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a:1", "a:1", "b:1")
		late := make(chan struct{})
		c.reply = func(address string, req msg.Request) msg.Response {
			if address == "a:1" && req.RequestType() == msg.TypeWriteRequest {
				c.mu.Unlock()
				<-late
				c.mu.Lock()
				return &msg.ErrorResponse{Code: msg.CodeEmptyEvents, Message: "{}"}
			}
			return nil
		}
		c.leader = "b:1"
		p := open(t, c.options("a:1", "b:1"))
		if err := details(ctx, p, 1); err != nil {
			t.Fatal(err)
		}
		close(late)
		synctest.Wait()
		if leader := p.Stats().Leader; leader != "b:1" {
			t.Error("the leader is", leader)
		}
	})
}

// A hint in each answer keeps nobody going beyond the failover budget, with an error of
// bounded size.
func TestHintsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		f := &fake{t: t}
		f.script = each(func(_ *peer, req msg.Request) msg.Response {
			asked++
			return &msg.ErrorResponse{Code: msg.CodeWriteNotLeader, Message: fmt.Sprintf(`{"leader_address":"n%d:1"}`, asked)}
		})
		t.Cleanup(f.stop)
		p := open(t, pool.Options{Address: "n:1", DisableCompression: true, FailoverBudget: time.Second,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				time.Sleep(5 * time.Millisecond)
				client, server := net.Pipe()
				f.start(server)
				return client, nil
			}})
		began := time.Now()
		err := writeOne(p)
		if took := time.Since(began); took > 1500*time.Millisecond || !errors.Is(err, pool.ErrNoLeader) || len(err.Error()) > 4096 {
			t.Errorf("after %v, with %d nodes asked, %d bytes: %v", took, asked, len(err.Error()), err)
		}
		if members := len(p.Nodes()); members > 17 {
			t.Errorf("%d members", members)
		}
	})
}
