package pool_test

import (
	"context"
	"errors"
	"slices"
	"testing"
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
	for _, err := range c.ListAggregates(ctx, pool.ListAggregates{}) {
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
	var attempts *pool.AttemptsError
	if !errors.As(err, &attempts) || len(attempts.Attempts) != 2 || !errors.Is(err, pool.ErrConnect) {
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
