package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// pagesOf are reads of whole aggregates.
func pagesOf(aggregates ...uint64) []*pool.PageRead {
	var reads []*pool.PageRead
	for _, n := range aggregates {
		reads = append(reads, &pool.PageRead{Request: msg.ReadRequest{Key: keyOf(n)}})
	}
	return reads
}

// oneBatch answers the read of aggregate n with one batch of version n.
func oneBatch(_ *peer, req msg.Request) msg.Response {
	r, ok := req.(*msg.ReadRequest)
	if !ok || r.Filters.From != 1 {
		return nil
	}
	_, n := r.Key.Aggregate.Uint64s()
	return &msg.ReadResponse{Batches: batches(n)}
}

// shown compares what reads have come to with what oneBatch answers.
func shown(t *testing.T, reads []*pool.PageRead, failed map[uint64]error) {
	t.Helper()
	for _, r := range reads {
		_, n := r.Request.Key.Aggregate.Uint64s()
		want := failed[n]
		if !errors.Is(r.Err, want) || (want == nil) != (r.Err == nil) {
			t.Errorf("aggregate %d: %v, want %v", n, r.Err, want)
		}
		if got := r.Page.Batches; want == nil && (len(got) != 1 || got[0].Version != n) || want != nil && len(got) > 0 {
			t.Errorf("aggregate %d: %+v", n, got)
		}
	}
}

// Four reads are on the wire before the first answer, and more once half are answered.
func TestReadPagesArePipelined(t *testing.T) {
	f := serve(t, func(p *peer) {
		var waiting []msg.Request
		for _, step := range []struct{ take, answer int }{{4, 2}, {2, 2}, {2, 2}, {0, 2}} {
			for range step.take {
				waiting = append(waiting, p.next())
			}
			for _, req := range waiting[:step.answer] {
				p.answer(req, oneBatch(p, req))
			}
			waiting = waiting[step.answer:]
		}
		p.drain()
	})
	p := open(t, plain(f))
	reads := pagesOf(1, 2, 3, 4, 5, 6, 7, 8)
	if err := p.ReadPages(ctx, reads); err != nil {
		t.Fatal(err)
	}
	shown(t, reads, nil)
	if s := p.Stats(); f.accepted() != 1 || s.Requests != 8 || s.Failures != 0 || node(p).Idle != 1 {
		t.Errorf("%d connections, %+v", f.accepted(), s)
	}
}

// No fifth read is sent while four are unanswered.
func TestReadPagesAreBounded(t *testing.T) {
	f := serve(t, func(p *peer) {
		var waiting []msg.Request
		for range 4 {
			waiting = append(waiting, p.next())
		}
		p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := p.Read(make([]byte, 1)); n > 0 || !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
			t.Errorf("%d bytes, %v", n, err)
		}
		p.SetReadDeadline(time.Time{})
		for _, req := range waiting {
			p.answer(req, oneBatch(p, req))
		}
		each(oneBatch)(p)
	})
	if err := open(t, plain(f)).ReadPages(ctx, pagesOf(1, 2, 3, 4, 5, 6)); err != nil {
		t.Fatal(err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A refusal is that of its read alone, and leaves the connection in order.
func TestReadPagesRefused(t *testing.T) {
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if req.(*msg.ReadRequest).Key == keyOf(3) {
			return &msg.ErrorResponse{Code: msg.CodeReadNotFound, Message: "{}"}
		}
		return oneBatch(p, req)
	}))
	p := open(t, plain(f))
	reads := pagesOf(1, 2, 3, 4, 5)
	var failure *pool.Error
	if err := p.ReadPages(ctx, reads); err != reads[2].Err || !errors.As(err, &failure) || failure.Key != msg.Some(keyOf(3)) || failure.Node != f.address() {
		t.Errorf("%v", err)
	}
	shown(t, reads, map[uint64]error{3: msg.ErrNotFound})
	if f.accepted() != 1 {
		t.Errorf("%d connections", f.accepted())
	}
	reads[2].Request.Key = keyOf(9)
	if err := p.ReadPages(ctx, reads); err != nil {
		t.Errorf("the same reads once more: %v", err)
	}
	shown(t, reads, nil)
}

// ReadPages asks again for pages that a lost connection left unanswered.
func TestReadPagesOverLostConnections(t *testing.T) {
	for answers := range 4 {
		var first atomic.Bool
		f := serve(t, func(p *peer) {
			if first.CompareAndSwap(false, true) {
				for range answers {
					req := p.next()
					p.answer(req, oneBatch(p, req))
				}
				p.next()
				return
			}
			each(oneBatch)(p)
		})
		reads := pagesOf(1, 2, 3, 4, 5, 6)
		p := open(t, plain(f))
		if err := p.ReadPages(ctx, reads); err != nil {
			t.Errorf("after %d answers: %v", answers, err)
		}
		shown(t, reads, nil)
	}
}

// inVirtualTime runs a test on a node that has aggregates 1 to 5, and does with reads what
// verdict says.
func inVirtualTime(t *testing.T, verdict func(*msg.ReadRequest) celerianttest.Verdict, test func(p *pool.Pool)) {
	synctest.Test(t, func(t *testing.T) {
		n := celerianttest.Run(t, celerianttest.Options{InMemory: true})
		p, err := pool.New(pool.Options{Address: n.Addr(), Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dial(ctx) }})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		for a := range uint64(5) {
			if _, err := p.WriteEvents(ctx, keyOf(a+1), events(1, nil), me, pool.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		n.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
			if r, ok := f.Request.(*msg.ReadRequest); ok && f.Response == nil {
				return verdict(r)
			}
			return celerianttest.Pass()
		})
		test(p)
	})
}

// A read that is left unanswered fails alone. A batch that a node cannot send it passes over,
// and answers the next read: then the read is made by itself. Silence behind an answer is
// a slow read's, which costs one RequestTimeout.
func TestReadPagesUnanswered(t *testing.T) {
	for name, c := range map[string]struct {
		verdict celerianttest.Verdict
		asked   int
	}{
		"passed over": {celerianttest.Drop(), 2},
		"silent":      {celerianttest.Stall(), 1},
	} {
		asked := 0
		verdict := func(r *msg.ReadRequest) celerianttest.Verdict {
			if r.Key != keyOf(3) {
				return celerianttest.Pass()
			}
			asked++
			return c.verdict
		}
		inVirtualTime(t, verdict, func(p *pool.Pool) {
			began := time.Now()
			reads := pagesOf(1, 2, 3, 4, 5)
			_ = p.ReadPages(ctx, reads)
			if asked != c.asked || time.Since(began) != 2*time.Second {
				t.Errorf("%s: asked %d times in %v", name, asked, time.Since(began))
			}
			for i, r := range reads {
				if silent := errors.Is(r.Err, pool.ErrRequestTimeout); silent != (i == 2) || !silent && len(r.Page.Batches) != 1 {
					t.Errorf("%s: read %d: %v, %v", name, i+1, r.Page.Batches, r.Err)
				}
			}
		})
	}
}

// A node that is silent altogether costs all reads together one timeout: that of connecting,
// or of a request.
func TestReadPagesOfASilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := celerianttest.Run(t, celerianttest.Options{InMemory: true})
		p := open(t, pool.Options{Address: n.Addr(), Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dial(ctx) }})
		for _, connected := range []bool{false, true} {
			if connected {
				n.Intercept(nil)
				if _, err := p.Details(ctx, keyOf(1)); !errors.Is(err, msg.ErrNotFound) {
					t.Fatal(err)
				}
			}
			n.Intercept(func(*celerianttest.Frame) celerianttest.Verdict { return celerianttest.Stall() })
			began := time.Now()
			reads := pagesOf(1, 2, 3, 4, 5)
			_ = p.ReadPages(ctx, reads)
			if took := time.Since(began); took != 2*time.Second {
				t.Errorf("connected before %v: after %v", connected, took)
			}
			for _, r := range reads {
				if want := map[bool]error{false: pool.ErrConnectTimeout, true: pool.ErrRequestTimeout}[connected]; !errors.Is(r.Err, want) {
					t.Errorf("connected before %v: %v", connected, r.Err)
				}
			}
		}
	})
}

// A caller who leaves has an error for each read, and its connection is not used again.
func TestReadPagesCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(ctx)
	f := serve(t, func(p *peer) {
		for req := p.next(); req != nil; req = p.next() {
			if req.(*msg.ReadRequest).Key == keyOf(3) {
				cancel()
				p.drain()
				return
			}
			p.answer(req, oneBatch(p, req))
		}
	})
	p := open(t, plain(f))
	reads := pagesOf(1, 2, 3, 4)
	if err := p.ReadPages(ctx, reads); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	shown(t, reads[2:], map[uint64]error{3: context.Canceled, 4: context.Canceled})
	if node(p).Idle != 0 || f.accepted() != 1 {
		t.Errorf("the connection is kept, or another one opened: %d", f.accepted())
	}
}

// A request that no frame can carry fails by itself.
func TestReadPagesTooLargeToSend(t *testing.T) {
	f := serve(t, each(oneBatch))
	reads := pagesOf(1, 2, 3, 4, 5)
	reads[2].Request.Filters.EventTypes = make([]uint64, 500)
	_ = open(t, plain(f)).ReadPages(ctx, reads)
	shown(t, reads, map[uint64]error{3: pool.ErrTooLarge})
	if f.accepted() != 1 {
		t.Errorf("%d connections", f.accepted())
	}
}

func TestReadPagesInvalid(t *testing.T) {
	p := open(t, plain(serve(t, each(oneBatch))))
	var none context.Context
	if err := p.ReadPages(none, pagesOf(1)); !errors.Is(err, pool.ErrInvalid) {
		t.Errorf("no context: %v", err)
	}
	if err := p.ReadPages(ctx, []*pool.PageRead{pagesOf(1)[0], nil}); !errors.Is(err, pool.ErrInvalid) {
		t.Errorf("no read: %v", err)
	}
	if err := p.ReadPages(ctx, nil); err != nil {
		t.Errorf("nothing to read: %v", err)
	}
}

// Behind a TLS handshake a node may lose what comes with the first frame: the first
// read of a connection that did not identify is alone.
func TestReadPagesBehindATLSHandshake(t *testing.T) {
	a := newAuthority(t)
	f := serveTLS(t, a.server(false), func(p *peer) {
		req := p.next()
		p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := p.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
			t.Errorf("%d bytes behind the first frame, %v", n, err)
		}
		p.SetReadDeadline(time.Time{})
		p.answer(req, oneBatch(p, req))
		each(oneBatch)(p)
	})
	opts := plain(f)
	opts.TLS = &pool.TLS{Roots: a.roots}
	reads := pagesOf(1, 2, 3, 4, 5)
	if err := open(t, opts).ReadPages(ctx, reads); err != nil {
		t.Fatal(err)
	}
	shown(t, reads, nil)
}

// One connection alone has the operation, too.
func TestReadPagesOnOneConnection(t *testing.T) {
	f := serve(t, each(oneBatch))
	c, err := pool.Connect(ctx, plain(f))
	if err != nil {
		t.Fatal(err)
	}
	reads := pagesOf(1, 2, 3, 4, 5)
	if err := c.ReadPages(ctx, reads); err != nil {
		t.Fatal(err)
	}
	shown(t, reads, nil)
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.ReadPages(ctx, reads); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Over the death of the leader, and at followers, all is read; nothing is asked of a
// connection that is a watch's.
func TestReadPagesOfAPair(t *testing.T) {
	for _, followers := range []bool{false, true} {
		t.Run(fmt.Sprint("followers ", followers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pair := celerianttest.RunPair(t, celerianttest.PairOptions{Options: celerianttest.Options{InMemory: true, Shards: 3}})
				p, err := pool.New(pool.Options{
					Address: pair.A().Addr(), SeedAddresses: []string{pair.B().Addr()}, Dial: pair.DialContext, RouteReadsToFollowers: followers,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close(context.Background())
				const aggregates = 20
				var all []uint64
				for n := range uint64(aggregates) {
					all = append(all, n)
					if _, err := p.WriteEvents(ctx, keyOf(n), events(int(n+1), nil), me, pool.WriteOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(5 * time.Second)
				if _, err := p.Shards(ctx); err != nil {
					t.Fatal(err)
				}
				w, err := p.Watch(ctx, &msg.WatchRequest{Shard: msg.Some[uint64](0)})
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				check := func(when string) {
					t.Helper()
					reads := pagesOf(all...)
					if err := p.ReadPages(ctx, reads); err != nil {
						t.Fatalf("%s: %v", when, err)
					}
					for n, r := range reads {
						if len(r.Page.Batches) != 1 || len(r.Page.Batches[0].Events) != n+1 {
							t.Errorf("%s: aggregate %d: %d batches", when, n, len(r.Page.Batches))
						}
					}
				}
				check("at first")
				if err := pair.Kill(pair.Leader()); err != nil {
					t.Fatal(err)
				}
				check("with the leader dead")
			})
		})
	}
}

// Each answer has the whole of RequestTimeout from the one before.
func TestReadPagesOfASlowNode(t *testing.T) {
	slowly := func(*msg.ReadRequest) celerianttest.Verdict { return celerianttest.Delay(1500 * time.Millisecond) }
	inVirtualTime(t, slowly, func(p *pool.Pool) {
		began := time.Now()
		if err := p.ReadPages(ctx, pagesOf(1, 2, 3, 4, 5)); err != nil || time.Since(began) != 5*1500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// ReadPages reads at the leader what a busy follower refuses.
func TestReadPagesOfABusyFollower(t *testing.T) {
	busy := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		switch r := req.(type) {
		case *msg.WriteRequest:
			return &msg.ErrorResponse{Code: msg.CodeWriteNotLeader, Message: "{}"}
		case *msg.ReadRequest:
			if r.Key == keyOf(2) {
				return &msg.ErrorResponse{Code: msg.CodeServerBusy, Message: "{}"}
			}
		}
		return oneBatch(p, req)
	}))
	leader := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if _, ok := req.(*msg.WriteRequest); ok {
			return &msg.ErrorResponse{Code: msg.CodeEmptyEvents, Message: "{}"}
		}
		return oneBatch(p, req)
	}))
	opts := plain(leader)
	opts.SeedAddresses, opts.RouteReadsToFollowers = []string{busy.address()}, true
	p := open(t, opts)
	if address, err := p.Leader(ctx); err != nil || address != leader.address() {
		t.Fatal(address, err)
	}
	reads := pagesOf(1, 2, 3)
	if err := p.ReadPages(ctx, reads); err != nil {
		t.Fatal(err)
	}
	shown(t, reads, nil)
}
