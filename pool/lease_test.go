package pool_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// gated answers a request when the test says so.
type gated struct {
	*fake
	asked chan uint64   // the aggregates asked for, in order
	more  chan struct{} // one answer each
	lose  chan struct{} // closes the connection instead
}

func serveGated(t *testing.T) *gated {
	g := &gated{asked: make(chan uint64, 100), more: make(chan struct{}), lose: make(chan struct{})}
	done := make(chan struct{})
	g.fake = serve(t, each(func(p *peer, req msg.Request) msg.Response {
		_, n := req.(*msg.DetailsRequest).Key.Aggregate.Uint64s()
		g.asked <- n
		select {
		case <-g.more:
			return echo(p, req)
		case <-g.lose:
		case <-done:
		}
		return nil
	}))
	t.Cleanup(func() { close(done) }) // before the fake waits for its scripts
	return g
}

// line starts callers 0 to n-1 one after another, each waiting in line before
// the next starts, while caller 0 holds the only connection. The result waits
// until all of them are done.
func line(t *testing.T, g *gated, p *pool.Pool, n uint64) (done func()) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := details(ctx, p, i); err != nil && !errors.Is(err, pool.ErrConnectionLost) {
				t.Errorf("caller %d: %v", i, err)
			}
		})
		if i == 0 {
			<-g.asked
		} else {
			until(t, "the caller waits", func() bool { return node(p).Waiting == int(i) })
		}
	}
	return all.Wait
}

// inTurn ends the requests of callers 0 to n-1 by sending to end, and checks
// that the node hears of each in its turn.
func (g *gated) inTurn(t *testing.T, n uint64, end chan struct{}) {
	t.Helper()
	for i := range n {
		end <- struct{}{}
		if i == n-1 {
			return
		}
		if got := <-g.asked; got != i+1 {
			t.Errorf("caller %d comes after caller %d", got, i)
		}
	}
}

func TestWaitersAreServedInOrder(t *testing.T) {
	g := serveGated(t)
	opts := plain(g.fake)
	opts.MaxConnections = 1
	p := open(t, opts)
	done := line(t, g, p, 5)
	g.inTurn(t, 5, g.more)
	done()
	if s := node(p); s.Dials != 1 || s.Waits != 4 {
		t.Errorf("%+v", s)
	}
}

// A connection that is closed wakes the next in line as well.
func TestDiscardsWakeWaiters(t *testing.T) {
	g := serveGated(t)
	opts := plain(g.fake)
	opts.MaxConnections = 1
	p := open(t, opts)
	done := line(t, g, p, 3)
	g.inTurn(t, 3, g.lose)
	done()
	if s := node(p); s.Slots != 0 || s.Dials != 3 {
		t.Errorf("%+v", s)
	}
}

// A failed dial frees its slot for the next in line.
func TestFailedDialsWakeWaiters(t *testing.T) {
	opts := pool.Options{Address: "n:1", MaxConnections: 1, DisableCompression: true}
	begun, fail := make(chan struct{}), make(chan struct{})
	opts.Dial = failingDial(begun, fail)
	p := open(t, opts)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := details(ctx, p, 1); !errors.Is(err, pool.ErrConnect) {
				t.Errorf("got %v", err)
			}
		})
	}
	for range 3 {
		<-begun
		fail <- struct{}{}
	}
	all.Wait()
}

func TestWaitersLeaveWhenTheirContextEnds(t *testing.T) {
	g := serveGated(t)
	opts := plain(g.fake)
	opts.MaxConnections = 1
	opts.RequestTimeout = time.Minute
	p := open(t, opts)
	done := line(t, g, p, 3)

	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	err := details(short, p, 50)
	if !errors.Is(err, pool.ErrPoolTimeout) || !errors.Is(err, context.DeadlineExceeded) || !msg.Timeout(err) || !msg.SafeToRetry(err) {
		t.Errorf("got %v", err)
	}
	gone, leave := context.WithCancel(ctx)
	left := make(chan error)
	go func() { left <- details(gone, p, 51) }()
	until(t, "the caller waits", func() bool { return node(p).Waiting == 3 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) || errors.Is(err, pool.ErrPoolTimeout) {
		t.Errorf("got %v", err)
	}
	g.inTurn(t, 3, g.more)
	done()
}

// The connection used last is used next, so that the others grow old.
func TestReuseIsLastInFirstOut(t *testing.T) {
	first := make(chan struct{})
	var mu sync.Mutex
	var used []int
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if _, n := req.(*msg.DetailsRequest).Key.Aggregate.Uint64s(); n < 3 {
			first <- struct{}{} // holds three connections at once
		}
		mu.Lock()
		defer mu.Unlock()
		used = append(used, p.number)
		return echo(p, req)
	}))
	p := open(t, plain(f))
	var all sync.WaitGroup
	for i := range uint64(3) {
		all.Go(func() {
			if err := details(ctx, p, i); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "three connections", func() bool { return node(p).Open == 3 })
	for range 3 {
		<-first
	}
	all.Wait()
	for range 10 {
		if err := details(ctx, p, 3); err != nil {
			t.Fatal(err)
		}
	}
	if later := used[3:]; len(slices.Compact(slices.Clone(later))) != 1 {
		t.Errorf("ten requests in a row used connections %v", later)
	}
}

// failingDial tells that it has begun and fails when it is told to.
func failingDial(begun, fail chan struct{}) pool.DialFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		begun <- struct{}{}
		<-fail
		return nil, errors.New("refused")
	}
}
