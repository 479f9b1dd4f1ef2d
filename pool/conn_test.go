package pool_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func connect(t testing.TB, opts pool.Options) *pool.Conn {
	t.Helper()
	c, err := pool.Connect(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return c
}

func TestConnDoesWhatAPoolDoes(t *testing.T) {
	n := celerianttest.Run(t, celerianttest.Options{Shards: 3})
	c := connect(t, pool.Options{Address: n.Addr()})
	for range 5 {
		if _, err := c.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []uint64
	for b, err := range c.ReadAll(ctx, key, msg.ReadFilters{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Version)
	}
	if !slices.Equal(got, upTo(5)) {
		t.Errorf("read %v", got)
	}
	count := 0
	for _, err := range c.ListAggregates(ctx, pool.ListAggregatesOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if d, err := c.Details(ctx, key); err != nil || d.MaxVersion != 5 || count != 1 {
		t.Error(d, err, count)
	}
	if _, err := c.ReadMin(ctx, &msg.ReadRequest{Key: key}, 5); err != nil {
		t.Error(err)
	}
	w, err := c.Watch(ctx, &msg.WatchRequest{Shard: msg.Some[uint64](0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Details(ctx, key); !errors.Is(err, pool.ErrInvalid) {
		t.Errorf("a request on a watch: %v", err)
	}
	if w.Close(); n.Stats().Connections > 1 {
		t.Errorf("%d connections", n.Stats().Connections)
	}
}

// Nothing is sent twice, and what has ended stays so.
func TestConnEnds(t *testing.T) {
	f := serve(t, func(p *peer) {
		req := p.next()
		p.answer(req, echo(p, req))
		p.next()
	})
	c := connect(t, plain(f))
	if _, err := c.Details(ctx, key); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteEvents(ctx, key, nil, me, pool.WriteOptions{EnforceIdempotency: true}); !errors.Is(err, pool.ErrConnectionLost) || !msg.Ambiguous(err) {
		t.Errorf("got %v", err)
	}
	if _, err := c.WriteEvents(ctx, key, nil, me, pool.WriteOptions{}); !errors.Is(err, pool.ErrConnectionLost) || msg.Ambiguous(err) || !msg.SafeToRetry(err) {
		t.Errorf("behind the end: %v", err)
	}
	if f.accepted() != 1 {
		t.Errorf("%d connections", f.accepted())
	}
}

// Requests take turns, inside the contexts of those who wait; Close sends the
// waiting away and lets what is in flight end.
func TestConnTakesTurns(t *testing.T) {
	g := serveGated(t)
	c := connect(t, plain(g.fake))
	result := make(chan error, 1)
	go func() { _, err := c.Details(ctx, keyOf(1)); result <- err }()
	<-g.asked
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := c.Details(short, key); !errors.Is(err, context.DeadlineExceeded) || !msg.SafeToRetry(err) {
		t.Errorf("waiting: %v", err)
	}
	over, stop := context.WithCancel(ctx)
	stop()
	if err := c.Close(over); !errors.Is(err, context.Canceled) {
		t.Errorf("cutting: %v", err)
	}
	if err := <-result; !errors.Is(err, pool.ErrClosed) {
		t.Errorf("the one in flight: %v", err)
	}
	if _, err := c.Details(ctx, key); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// The first address that accepts is taken; errors name them all.
func TestConnectTriesTheSeeds(t *testing.T) {
	c := newCluster(t, "b:1", "b:1")
	single := connect(t, c.options("a:1", "b:1"))
	if single.Node() != "b:1" {
		t.Error(single.Node())
	}
	_, err := pool.Connect(ctx, c.options("x:1", "y:1"))
	if len(attemptsOf(err)) != 2 || !errors.Is(err, pool.ErrConnect) {
		t.Error(err)
	}
	var option *pool.OptionError
	if _, err := pool.Connect(ctx, pool.Options{}); !errors.As(err, &option) {
		t.Error(err)
	}
}

// A context that ends inside a request ends the connection: its answer may
// still arrive.
func TestConnDoesNotOutliveACancelledRequest(t *testing.T) {
	g := serveGated(t)
	c := connect(t, plain(g.fake))
	cancellable, cancel := context.WithCancel(ctx)
	go func() { <-g.asked; cancel() }()
	if _, err := c.Details(cancellable, keyOf(1)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := c.Details(ctx, keyOf(2)); !errors.Is(err, pool.ErrConnectionLost) {
		t.Errorf("used again: %v", err)
	}
}

// A node that closed the connection is noticed before a request is sent.
func TestConnClosedByTheNode(t *testing.T) {
	shut := make(chan struct{})
	f := serve(t, func(p *peer) {
		req := p.next()
		p.answer(req, echo(p, req))
		<-shut
		p.Close()
		shut <- struct{}{}
	})
	c := connect(t, plain(f))
	if _, err := c.Details(ctx, key); err != nil {
		t.Fatal(err)
	}
	shut <- struct{}{}
	<-shut
	var failure *pool.Error
	if _, err := c.Write(ctx, oneWrite); !errors.As(err, &failure) || failure.Sent || !errors.Is(err, pool.ErrConnectionLost) || !msg.SafeToRetry(err) {
		t.Errorf("%+v", err)
	}
}

// Close sends those in line away at once, lets the request in flight end, and
// closes the connection; from then on nothing is accepted.
func TestConnCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more, gone := make(chan struct{}), make(chan struct{})
		_, opts := serveMemory(t, func(p *peer) {
			each(func(p *peer, req msg.Request) msg.Response { <-more; return echo(p, req) })(p)
			close(gone)
		})
		c := connect(t, opts)
		flying, waiting, closed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() { _, err := c.Details(ctx, keyOf(1)); flying <- err }()
		synctest.Wait()
		go func() { _, err := c.Details(ctx, keyOf(2)); waiting <- err }()
		synctest.Wait()
		go func() { closed <- c.Close(ctx) }()
		if err := <-waiting; !errors.Is(err, pool.ErrClosed) {
			t.Errorf("in line: %v", err)
		}
		synctest.Wait()
		select {
		case err := <-closed:
			t.Errorf("Close did not wait: %v", err)
		default:
		}
		close(more)
		if err := <-flying; err != nil {
			t.Errorf("in flight: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		<-gone
		for range 20 {
			if _, err := c.Details(ctx, key); !errors.Is(err, pool.ErrClosed) {
				t.Fatal(err)
			}
		}
	})
}

// An exchange is bounded, and what timed out is over.
func TestConnRequestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, ask := range map[string]func(*pool.Conn) error{
			"request": func(c *pool.Conn) error { _, err := c.Details(ctx, key); return err },
			"watch":   func(c *pool.Conn) error { _, err := c.Watch(ctx, &msg.WatchRequest{}); return err },
		} {
			f, opts := serveMemory(t, (*peer).drain)
			c := connect(t, opts)
			start := time.Now()
			if err := ask(c); !errors.Is(err, pool.ErrRequestTimeout) || time.Since(start) != pool.DefaultRequestTimeout {
				t.Errorf("%s: after %v: %v", name, time.Since(start), err)
			}
			if _, err := c.Write(ctx, oneWrite); !errors.Is(err, pool.ErrConnectionLost) || msg.Ambiguous(err) {
				t.Errorf("behind the %s: %v", name, err)
			}
			if f.accepted() != 1 {
				t.Errorf("%s: %d connections", name, f.accepted())
			}
		}
	})
}

// A request that waited while the connection became a watch's is not sent on it.
func TestConnBecomesAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := serveMemory(t, func(p *peer) {
			req := p.next()
			time.Sleep(time.Second)
			p.answer(req, &msg.WatchResponse{Notifications: written})
			if next := p.next(); next != nil {
				t.Errorf("%T on a watch", next)
			}
		})
		c := connect(t, opts)
		waiting := make(chan error, 1)
		go func() { time.Sleep(time.Millisecond); _, err := c.Details(ctx, key); waiting <- err }()
		w, err := c.Watch(ctx, &msg.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; !errors.Is(err, pool.ErrInvalid) {
			t.Error(err)
		}
		if got, err := w.Next(ctx); err != nil || !slices.Equal(got, written) {
			t.Errorf("the frame that acknowledged: %v, %v", got, err)
		}
		next := make(chan error, 1)
		go func() { _, err := w.Next(ctx); next <- err }()
		synctest.Wait()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-next; !errors.Is(err, pool.ErrClosed) {
			t.Error(err)
		}
	})
}

// An answer counts that comes with the end of its context, an acknowledgement
// does not: nobody would be there to watch. The connection is over in either case.
func TestConnAnswerBesideTheEnd(t *testing.T) {
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if _, ok := req.(*msg.WatchRequest); ok {
			return &msg.WatchResponse{}
		}
		return echo(p, req)
	}))
	for name, ask := range map[string]func(context.Context, *pool.Conn) error{
		"request": func(ctx context.Context, c *pool.Conn) error { _, err := c.Details(ctx, key); return err },
		"watch":   func(ctx context.Context, c *pool.Conn) error { _, err := c.Watch(ctx, &msg.WatchRequest{}); return err },
	} {
		var socket cancelling
		opts := plain(f)
		opts.Dial = wrapDial(func(nc net.Conn) net.Conn { socket.Conn = nc; return &socket })
		c := connect(t, opts)
		var short context.Context
		short, socket.cancel = context.WithCancel(ctx)
		if err := ask(short, c); (name == "request") != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Details(ctx, key); !errors.Is(err, pool.ErrConnectionLost) {
			t.Errorf("behind the %s: %v", name, err)
		}
	}
}

// A Conn learns like a pool; hooks hear of what it does.
func TestConnLearns(t *testing.T) {
	shards := "4"
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if _, ok := req.(*msg.IdentifyRequest); ok {
			return &msg.IdentifyResponse{Access: msg.Some(msg.ReadOnly)}
		}
		return &msg.ErrorResponse{Code: msg.CodeRouting, Message: `{"num_shards":` + shards + `}`}
	}))
	var heard []pool.Answered
	c := connect(t, pool.Options{Address: f.address(), CompressLoopback: true, Hooks: pool.Hooks{Answered: func(a pool.Answered) { heard = append(heard, a) }}})
	if who, ok := c.Identity(); !ok || who.Node != f.address() || who.Access != msg.Some(msg.ReadOnly) {
		t.Errorf("%+v, %v", who, ok)
	}
	if n, err := c.Shards(ctx); n != 4 || err != nil {
		t.Error(n, err)
	}
	shards = "2"
	if _, err := c.ListOrgsPage(ctx, &msg.ListOrgsRequest{Shard: 3}); !errors.Is(err, msg.ErrRouting) {
		t.Error(err)
	}
	if n, err := c.Shards(ctx); n != 2 || err != nil {
		t.Error(n, err)
	}
	if len(heard) != 3 || !heard[0].Sent || !errors.Is(heard[0].Err, msg.ErrRouting) || heard[0].Op != msg.TypeListOrgsRequest {
		t.Errorf("hooks heard %+v", heard)
	}
	if _, ok := connect(t, plain(f)).Identity(); ok {
		t.Error("a connection that was never introduced is identified")
	}
}

// A Close whose time is over cuts a request that is in flight, not the thought of
// one.
func TestConnCloseAtOnce(t *testing.T) {
	over, stop := context.WithCancel(ctx)
	stop()
	for range 50 { // a choice between two that are ready would be made by chance
		f, opts := serveMemory(t, each(echo))
		c, err := pool.Connect(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(over); err != nil {
			t.Fatal(err)
		}
		f.stop()
	}
}
