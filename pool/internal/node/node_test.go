package node

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// The age of an idle connection is checked when it is taken, by the wall clock too: the
// monotonic clock and the timers stand still while a machine sleeps.
func TestOldConnectionIsNotTaken(t *testing.T) {
	n := newNode(t, settings{})
	for name, age := range map[string]func(*moment){
		"monotonic": func(m *moment) { m.monotonic = m.monotonic.Add(-n.config.IdleTimeout) },
		"wall":      func(m *moment) { m.wall = m.wall.Add(-n.config.IdleTimeout) },
	} {
		old := lease(t, n, anyShard)
		n.release(old)
		age(&old.lastUse)
		taken := lease(t, n, anyShard)
		if taken == old {
			t.Errorf("%s: a connection past its idle time was taken", name)
		}
		n.release(taken)
	}
	at := now()
	if slept := at.add(time.Second).since(at); slept != time.Second {
		t.Errorf("idle for %v", slept)
	}
}

// A grant that meets the end of its waiter's context in the same moment goes to
// the next in line instead of being lost.
func TestGrantToALeavingWaiterIsPassedOn(t *testing.T) {
	n := newNode(t, settings{})
	c := lease(t, n, anyShard)
	leaving, next := newWaiter(), newWaiter()
	leaving.ready <- grant{conn: c} // granted, and out of the line
	n.mu.Lock()
	n.line.push(next)
	n.pending++
	n.mu.Unlock()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := n.await(over, leaving); err == nil { // the grant came first: the caller gives it back
		n.release(got)
	}
	if got := <-next.ready; got.conn != c {
		t.Errorf("passed on %+v", got)
	}
	n.release(c)
}

// Under constant load a connection goes from hand to hand without ever being
// idle; it must not look old for that.
func TestHandedOnConnectionIsNotOld(t *testing.T) {
	n := newNode(t, settings{})
	c := lease(t, n, anyShard)
	c.lastUse = now().add(-n.config.IdleTimeout)
	next := newWaiter()
	n.mu.Lock()
	n.line.push(next)
	n.pending++
	n.mu.Unlock()
	n.release(c)
	if g := <-next.ready; g.conn != c || n.expired(c, now()) {
		t.Errorf("handed on %+v", g)
	}
	n.release(c)
}

// Await leaves a node alone while there is a connection, else tells what became of the
// one dial it takes, or that it takes long; that goes on.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func() error { return errRefused }
		n := newNode(t, settings{dial: pipes(t, func(context.Context, int) error { return answer() })})
		await := func() (time.Duration, error) {
			began := time.Now()
			err := n.Await(context.Background())
			return time.Since(began), err
		}
		if _, err := await(); err != nil || n.Stats().Dials != 0 {
			t.Errorf("a node that nothing is known of: %v", err)
		}
		if err := tryLease(n, context.Background()); !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		if took, err := await(); !errors.Is(err, errRefused) || took != 0 || n.Stats().Dials != 2 || n.Stats().Slots != 0 {
			t.Errorf("refused: after %v: %v, %+v", took, err, n.Stats())
		}
		late := make(chan struct{})
		answer = func() error { <-late; return nil }
		for range 3 {
			if took, err := await(); !errors.Is(err, conn.ErrConnect) || took != slowNodeWait || n.Stats().Dials != 3 {
				t.Errorf("late: after %v: %v, %+v", took, err, n.Stats())
			}
		}
		close(late)
		synctest.Wait()
		if took, err := await(); err != nil || took != 0 || n.Stats().Dials != 3 {
			t.Errorf("connected: after %v: %v, %+v", took, err, n.Stats())
		}
	})
}

// When a connection that was idle turns out to be silent, the others idle since then are
// not taken one by one, and a read gets its answer on a fresh one.
func TestSilentConnectionCondemnsItsSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dropped atomic.Bool // whatever was dialled before
		n := newNode(t, settings{maxConnections: 8, dial: answering(t, func(dial int, req msg.Request) msg.Response {
			if dropped.Load() && dial <= 8 {
				return nil
			}
			return details(req)
		})})
		var all []*leased
		for range 8 {
			all = append(all, lease(t, n, anyShard))
		}
		for _, c := range all {
			n.release(c)
		}
		time.Sleep(time.Second)
		dropped.Store(true)
		began := time.Now()
		var seen records
		if _, a := n.Do(context.Background(), &msg.DetailsRequest{}, Call{Recorder: &seen}); a.Err != nil || len(seen) != 2 || time.Since(began) != 2*time.Second {
			t.Errorf("after %v and %d attempts: %v", time.Since(began), len(seen), a.Err)
		}
		if s := n.Stats(); s.Open != 1 || s.Discarded != 8 {
			t.Errorf("siblings are kept: %+v", s)
		}
	})
}

// Reads in a pipeline condemn them, too, and leave the second try to the caller.
func TestSilentPipelineCondemnsItsSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, settings{maxConnections: 8, dial: answering(t, func(int, msg.Request) msg.Response { return nil })})
		a, b := lease(t, n, anyShard), lease(t, n, anyShard)
		n.release(a)
		n.release(b)
		time.Sleep(time.Second)
		began := time.Now()
		var seen records
		reads := []*conn.PageRequest{{Page: new(conn.Page)}, {Page: new(conn.Page)}, {Page: new(conn.Page)}}
		for _, a := range n.Reads(context.Background(), reads, Call{Recorder: &seen}) {
			if a.Answered || !errors.Is(a.Err, conn.ErrRequestTimeout) {
				t.Errorf("%+v", a)
			}
		}
		if len(seen) != 1 || time.Since(began) != 2*time.Second {
			t.Errorf("%d attempts after %v", len(seen), time.Since(began))
		}
		if s := n.Stats(); s.Open != 0 || s.Slots != 0 {
			t.Errorf("they are kept: %+v", s)
		}
	})
}

// A mutation is not sent again for that, and one deadline of a caller is enough to tell.
func TestDeadlineOnASilentConnectionCondemnsItsSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, settings{dial: answering(t, func(dial int, req msg.Request) msg.Response { return nil })})
		a, b := lease(t, n, anyShard), lease(t, n, anyShard)
		n.release(a)
		n.release(b)
		time.Sleep(time.Second)
		short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		var seen records
		req := &msg.TrimStartRequest{}
		if _, a := n.Do(short, req, Call{Recorder: &seen}); !errors.Is(a.Err, context.DeadlineExceeded) || a.Applied != conn.AppliedUnknown || len(seen) != 1 {
			t.Errorf("%+v", a)
		}
		if s := n.Stats(); s.Open != 0 || s.Slots != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A dialer, or an identity, that panics or ends its goroutine costs its caller an error,
// and nobody a slot; so do hooks.
func TestUserCodeMayDoAnything(t *testing.T) {
	misbehaviours := map[string]func(){"panics": func() { panic("mine") }, "ends its goroutine": runtime.Goexit}
	for name, misbehave := range misbehaviours {
		good := false
		bad := func() {
			if !good {
				misbehave()
			}
		}
		for where, s := range map[string]settings{
			"the dialer": {dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				bad()
				return silent(t)(ctx, network, address)
			}},
			"the identity": {introduce: func(context.Context) (*conn.Introduction, error) { bad(); return nil, errRefused }},
		} {
			good = false
			n := newNode(t, s)
			for range 2 {
				if err := tryLease(n, context.Background()); !errors.Is(err, conn.ErrConnect) {
					t.Errorf("%s %s: %v", where, name, err)
				}
			}
			if s := n.Stats(); s.Slots != 0 || s.Waiting != 0 {
				t.Errorf("%s %s: %+v", where, name, s)
			}
			good = true
			if err := tryLease(n, context.Background()); (err == nil) != (where == "the dialer") {
				t.Errorf("%s, good again: %v", where, err)
			}
			n.Close()
			<-n.Drained()
		}
		n := newNode(t, settings{events: Events{Opened: func(string, time.Duration, error) { misbehave() }}})
		if err := tryLease(n, context.Background()); err != nil {
			t.Errorf("a hook that %s: %v", name, err)
		}
	}
}

// Close may be called by what it would have to wait for.
func TestCloseFromWithinUserCode(t *testing.T) {
	for name, within := range map[string]func(s *settings, call func()){
		"dialer": func(s *settings, call func()) {
			s.dial = func(context.Context, string, string) (net.Conn, error) { call(); return nil, errRefused }
		},
		"identity": func(s *settings, call func()) {
			s.introduce = func(context.Context) (*conn.Introduction, error) { call(); return nil, errRefused }
		},
		"hook": func(s *settings, call func()) {
			s.events.Opened = func(string, time.Duration, error) { call() }
		},
	} {
		var s settings
		made := make(chan *Node, 1)
		within(&s, func() {
			n := <-made
			n.Close()
			<-n.Drained()
		})
		n := newNode(t, s)
		made <- n
		if err := tryLease(n, context.Background()); !errors.Is(err, conn.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node that somebody uses is not forgotten.
func TestNodesInUseAreKept(t *testing.T) {
	n := newNode(t, settings{})
	c := lease(t, n, anyShard)
	if n.Retire() {
		t.Error("a node with a request is retired")
	}
	n.release(c)
	if !n.Retire() || !n.Retired() {
		t.Error("a node that nobody uses is not retired")
	}
	if err := tryLease(n, context.Background()); !errors.Is(err, conn.ErrConnect) {
		t.Errorf("retired: %v", err)
	}
}

// BenchmarkLease is taking and giving back a connection without using it.
func BenchmarkLease(b *testing.B) {
	n := newNode(b, settings{})
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n.release(lease(b, n, anyShard))
		}
	})
	b.Run("contended", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n.release(lease(b, n, anyShard))
			}
		})
	})
}
