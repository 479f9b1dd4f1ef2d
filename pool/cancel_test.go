package pool_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// The caller goes away between question and answer; the answer must never
// reach whoever comes next.
func TestCancelBetweenSendAndReceive(t *testing.T) {
	asked, proceed := make(chan struct{}), make(chan struct{})
	f := serve(t, func(p *peer) {
		for req := p.next(); req != nil; req = p.next() {
			if p.number == 0 {
				asked <- struct{}{}
				<-proceed
			}
			p.answer(req, echo(p, req))
		}
	})
	p := open(t, plain(f))
	short, cancel := context.WithCancel(ctx)
	result := make(chan error)
	go func() {
		_, err := p.Write(short, &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: key}}})
		result <- err
	}()
	<-asked
	cancel()
	err := <-result
	if !errors.Is(err, context.Canceled) || !msg.Ambiguous(err) {
		t.Errorf("got %v", err)
	}
	close(proceed) // the old answer is written only now
	if err := details(ctx, p, 9); err != nil {
		t.Fatal(err)
	}
	if f.accepted() != 2 {
		t.Errorf("%d connections: the old one was used again", f.accepted())
	}
}

func TestCancelledBeforeSending(t *testing.T) {
	f := serve(t, each(echo))
	p := open(t, plain(f))
	if err := details(ctx, p, 1); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("the user left")
	over, cancel := context.WithCancelCause(ctx)
	cancel(cause)
	_, err := p.Write(over, &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: key}}})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || msg.Ambiguous(err) {
		t.Errorf("got %v", err)
	}
	if node(p).Idle != 1 {
		t.Error("an unused connection was closed")
	}
}

// Many callers, cancelled at arbitrary moments, over few connections: nobody
// ever gets an answer that is not his (details panics on one).
func TestCancelStorm(t *testing.T) {
	f := serve(t, each(echo))
	opts := plain(f)
	opts.MaxConnections = 3
	p := open(t, opts)
	var all sync.WaitGroup
	for worker := range uint64(8) {
		all.Go(func() {
			for i := range uint64(100) {
				short, cancel := context.WithCancel(ctx)
				if i%2 == 0 {
					go cancel()
				}
				if err := details(short, p, worker*1000+i); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	until(t, "nothing is in use, once what was being opened is open", func() bool {
		s := node(p)
		return s.Slots == s.Open && s.Open == s.Idle && s.Waiting == 0
	})
}

func TestDeadlineOfTheCaller(t *testing.T) {
	f := serve(t, (*peer).drain)
	short, cancel := context.WithTimeout(ctx, 1)
	defer cancel()
	err := details(short, open(t, plain(f)), 1)
	if !errors.Is(err, context.DeadlineExceeded) || !msg.Timeout(err) || errors.Is(err, pool.ErrRequestTimeout) {
		t.Errorf("got %v", err)
	}
}

// cancelling ends a context, if there is one, as soon as bytes have been read.
type cancelling struct {
	net.Conn
	cancel context.CancelFunc
}

func (c *cancelling) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.cancel != nil {
		c.cancel()
	}
	return n, err
}

// The context ends when the answer is there: the answer counts, but the
// interruption under way would hit the connection's next user.
func TestCancelAfterTheAnswerArrived(t *testing.T) {
	f := serve(t, each(echo))
	short, cancel := context.WithCancel(ctx)
	opts := plain(f)
	opts.Dial = wrapDial(func(nc net.Conn) net.Conn { return &cancelling{Conn: nc, cancel: cancel} })
	p := open(t, opts)
	if err := details(short, p, 1); err != nil {
		t.Error(err)
	}
	if s := node(p); s.Idle != 0 || s.Slots != 0 {
		t.Errorf("the connection is kept: %+v", s)
	}
}
