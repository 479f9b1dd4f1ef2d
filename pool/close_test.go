package pool_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

func TestCloseWaitsForRequestsInFlight(t *testing.T) {
	g := serveGated(t)
	opts := plain(g.fake)
	opts.MaxConnections = 1
	p := open(t, opts)
	result := make(chan error)
	go func() { result <- details(ctx, p, 1) }()
	<-g.asked
	inLine := make(chan error)
	go func() { inLine <- details(ctx, p, 2) }()
	until(t, "the caller waits", func() bool { return node(p).Waiting == 1 })

	closed := make(chan error)
	go func() { closed <- p.Close(ctx) }()
	if err := <-inLine; !errors.Is(err, pool.ErrClosed) || msg.SafeToRetry(err) {
		t.Errorf("the caller in line got %v", err)
	}
	if err := details(ctx, p, 3); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("new work got %v", err)
	}
	if _, err := p.Watch(ctx, &msg.WatchRequest{}); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("a new watch got %v", err)
	}
	select {
	case err := <-closed:
		t.Fatalf("Close did not wait: %v", err)
	default:
	}
	g.more <- struct{}{}
	if err := <-result; err != nil {
		t.Errorf("the request in flight got %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if s := node(p); s.Open != 0 || s.Slots != 0 {
		t.Errorf("%+v", s)
	}
}

func TestCloseClosesIdleConnections(t *testing.T) {
	gone := make(chan struct{})
	f := serve(t, func(p *peer) {
		each(echo)(p)
		close(gone)
	})
	p := open(t, plain(f))
	if err := details(ctx, p, 1); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	<-gone
}

func TestCloseCutsAtItsDeadline(t *testing.T) {
	f := serve(t, func(p *peer) { p.next(); p.drain() })
	opts := plain(f)
	opts.RequestTimeout = time.Minute
	p := open(t, opts)
	result := make(chan error)
	go func() {
		_, err := p.Write(ctx, oneWrite)
		result <- err
	}()
	until(t, "the request is out", func() bool { return node(p).Open == 1 })
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if err := p.Close(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if err := <-result; !errors.Is(err, pool.ErrClosed) {
		t.Errorf("the request in flight got %v", err)
	}
	if err := p.Close(ctx); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestCloseCutsDials(t *testing.T) {
	begun := make(chan struct{})
	opts := pool.Options{Address: "n:1", ConnectTimeout: time.Minute}
	opts.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p := open(t, opts)
	result := make(chan error)
	go func() { result <- details(ctx, p, 1) }()
	<-begun
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := p.Close(over); err != nil {
		t.Errorf("Close waits for a dialer: %v", err)
	}
	if err := <-result; !errors.Is(err, pool.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A connection that is opened while Close cuts is closed, not used.
func TestDialThatIgnoresTheCut(t *testing.T) {
	f := serve(t, each(echo))
	begun, proceed := make(chan struct{}), make(chan struct{})
	opts := plain(f)
	opts.Dial = func(_ context.Context, network, address string) (net.Conn, error) {
		close(begun)
		<-proceed
		return net.Dial(network, address)
	}
	p := open(t, opts)
	result := make(chan error)
	go func() { result <- details(ctx, p, 1) }()
	<-begun
	over, cancel := context.WithCancel(ctx)
	cancel()
	p.Close(over)
	close(proceed)
	if err := <-result; !errors.Is(err, pool.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

// Close in the middle of everything: no call hangs, none gets anything but its
// answer or ErrClosed, and (by TestMain) no goroutine stays.
func TestCloseDuringEverything(t *testing.T) {
	for range 20 {
		f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
			if _, ok := req.(*msg.WatchRequest); ok {
				return &msg.WatchResponse{}
			}
			return echo(p, req)
		}))
		opts := pool.Options{Address: f.address(), MaxConnections: 2}
		p := open(t, opts)
		var all sync.WaitGroup
		warm := make(chan struct{}, 100)
		for worker := range uint64(6) {
			all.Go(func() {
				for i := range uint64(1000) {
					err := details(ctx, p, worker*1000+i)
					if errors.Is(err, pool.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					select {
					case warm <- struct{}{}:
					default:
					}
				}
			})
			all.Go(func() {
				w, err := p.Watch(ctx, &msg.WatchRequest{})
				if err == nil {
					_, err = w.Next(ctx)
				}
				if !errors.Is(err, pool.ErrClosed) {
					t.Error(err)
				}
			})
		}
		for range 20 {
			<-warm
		}
		if err := p.Close(ctx); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		if s := node(p); s.Open+s.Slots+s.Watches+s.Waiting != 0 {
			t.Fatalf("%+v", s)
		}
	}
}
