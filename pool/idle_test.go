package pool_test

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var oneWrite = &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: key}}}

// A node that closed an idle connection is noticed before the connection is
// used: even a write, which is never sent twice, succeeds.
func TestClosedIdleConnectionIsNotUsed(t *testing.T) {
	shut := make(chan struct{})
	f := serve(t, func(p *peer) {
		if p.number > 0 {
			each(echo)(p)
			return
		}
		req := p.next()
		p.answer(req, echo(p, req))
		<-shut
		p.Close()
		shut <- struct{}{}
	})
	p := open(t, plain(f))
	if err := details(ctx, p, 1); err != nil {
		t.Fatal(err)
	}
	shut <- struct{}{}
	<-shut
	if _, err := p.Write(ctx, oneWrite); err != nil {
		t.Fatal(err)
	}
	if s := node(p); s.Retries != 0 || s.Dials != 2 || s.Discarded != 1 {
		t.Errorf("%+v", s)
	}
}

// Bytes that arrived on an idle connection make it unusable, too.
func TestTalkingIdleConnectionIsNotUsed(t *testing.T) {
	talk := make(chan struct{})
	f := serve(t, func(p *peer) {
		if p.number == 0 {
			req := p.next()
			p.answer(req, echo(p, req))
			<-talk
			p.answer(req, echo(p, req))
			talk <- struct{}{}
		}
		each(echo)(p)
	})
	p := open(t, plain(f))
	if err := details(ctx, p, 1); err != nil {
		t.Fatal(err)
	}
	talk <- struct{}{}
	<-talk
	if _, err := p.Write(ctx, oneWrite); err != nil {
		t.Fatal(err)
	}
	if s := node(p); s.Dials != 2 || s.Retries != 0 {
		t.Errorf("%+v", s)
	}
}

// The node closes at the very moment of use: after the check, on receipt of the
// request. A read goes out once more, a write does not.
func TestConnectionClosedAsItIsTaken(t *testing.T) {
	serveOnce := func() *fake {
		return serve(t, func(p *peer) {
			if p.number > 0 {
				each(echo)(p)
				return
			}
			req := p.next()
			p.answer(req, echo(p, req))
			p.next() // and close
		})
	}
	t.Run("read", func(t *testing.T) {
		p := open(t, plain(serveOnce()))
		for i := range uint64(2) {
			if err := details(ctx, p, i); err != nil {
				t.Fatal(err)
			}
		}
		if s := node(p); s.Retries != 1 || s.Dials != 2 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("write", func(t *testing.T) {
		p := open(t, plain(serveOnce()))
		if err := details(ctx, p, 1); err != nil {
			t.Fatal(err)
		}
		_, err := p.Write(ctx, oneWrite)
		if !errors.Is(err, pool.ErrConnectionLost) || !msg.Ambiguous(err) {
			t.Errorf("got %v", err)
		}
		if s := node(p); s.Retries != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// The second try does not trust the other idle connections either.
func TestSecondTryIsOnANewConnection(t *testing.T) {
	both := make(chan struct{})
	f := serve(t, func(p *peer) {
		if p.number > 1 {
			each(echo)(p)
			return
		}
		req := p.next()
		both <- struct{}{}
		p.answer(req, echo(p, req))
		p.next() // and close
	})
	p := open(t, plain(f))
	var all sync.WaitGroup
	for i := range uint64(2) {
		all.Go(func() {
			if err := details(ctx, p, i); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "two connections", func() bool { return node(p).Open == 2 })
	<-both
	<-both
	all.Wait()
	if err := details(ctx, p, 9); err != nil {
		t.Error(err)
	}
	if s := node(p); s.Retries != 1 || s.Dials != 3 {
		t.Errorf("%+v", s)
	}
}

// A read is sent at most twice, and on a new connection not even that.
func TestOneSecondTryAtMost(t *testing.T) {
	var requests atomic.Int32
	f := serve(t, func(p *peer) {
		req := p.next()
		requests.Add(1)
		if p.number == 0 {
			p.answer(req, echo(p, req))
			p.next()
			requests.Add(1)
		}
	})
	p := open(t, plain(f))
	if err := details(ctx, p, 1); err != nil {
		t.Fatal(err)
	}
	if err := details(ctx, p, 2); !errors.Is(err, pool.ErrConnectionLost) {
		t.Errorf("got %v", err)
	}
	if err := details(ctx, p, 3); !errors.Is(err, pool.ErrConnectionLost) {
		t.Errorf("got %v", err)
	}
	if got := requests.Load(); got != 4 {
		t.Errorf("%d requests for 3 calls", got)
	}
}

// unwritable fails the second write without taking a byte.
type unwritable struct {
	net.Conn
	writes int
}

func (u *unwritable) Write(b []byte) (int, error) {
	if u.writes++; u.writes == 2 {
		return 0, syscall.EPIPE
	}
	return u.Conn.Write(b)
}

// Not one byte of a write was handed to the network: it may go out once more.
func TestUnsentWriteIsSentAgain(t *testing.T) {
	f := serve(t, each(echo))
	opts := plain(f)
	opts.Dial = wrapDial(func(nc net.Conn) net.Conn { return &unwritable{Conn: nc} })
	p := open(t, opts)
	if err := details(ctx, p, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(ctx, oneWrite); err != nil {
		t.Fatal(err)
	}
	if s := node(p); s.Retries != 1 || s.Dials != 2 {
		t.Errorf("%+v", s)
	}
}

func TestIdleConnectionsAreClosedInTime(t *testing.T) {
	gone := make(chan struct{})
	f := serve(t, func(p *peer) {
		each(echo)(p)
		close(gone)
	})
	opts := plain(f)
	opts.IdleTimeout = 20 * time.Millisecond
	p := open(t, opts)
	if err := details(ctx, p, 1); err != nil {
		t.Fatal(err)
	}
	<-gone // nobody asked for anything
	until(t, "the slot is free", func() bool { s := node(p); return s.Open == 0 && s.Idle == 0 && s.Slots == 0 })
}
