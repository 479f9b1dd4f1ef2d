package pool

import (
	"context"
	"net"
	"testing"
)

// The age of an idle connection is checked when it is taken, too: timers stand
// still while a machine sleeps.
func TestOldConnectionIsNotTaken(t *testing.T) {
	n := nodeOnListener(t)
	old, err := n.acquire(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	n.release(old)
	old.idleSince = old.idleSince.Add(-n.opts.IdleTimeout)
	taken, err := n.acquire(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer n.release(taken)
	if taken == old {
		t.Error("a connection past its idle time was taken")
	}
}

// A grant that meets the end of its waiter's context in the same moment goes to
// the next in line instead of being lost.
func TestGrantToALeavingWaiterIsPassedOn(t *testing.T) {
	n := nodeOnListener(t)
	var leased []*conn
	for range n.opts.MaxConnections {
		c, err := n.acquire(context.Background(), false)
		if err != nil {
			t.Fatal(err)
		}
		leased = append(leased, c)
	}
	for _, g := range []grant{{conn: leased[0]}, {}} {
		leaving := &waiter{ready: make(chan grant, 1)}
		leaving.ready <- g // granted, and out of the line
		over, cancel := context.WithCancel(context.Background())
		cancel()
		next := &waiter{ready: make(chan grant, 1)}
		n.mu.Lock()
		n.line.push(next)
		n.mu.Unlock()
		c, err := n.await(over, leaving)
		if err == nil { // the grant came first: the caller gives it back
			if c != nil {
				n.put(c)
			} else {
				n.freeSlot()
			}
		}
		if got := <-next.ready; got != g {
			t.Errorf("passed on %+v, want %+v", got, g)
		}
	}
	for _, c := range leased {
		n.release(c)
	}
}

// BenchmarkLease is taking and giving back a connection without using it.
func BenchmarkLease(b *testing.B) {
	n := nodeOnListener(b)
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			lease(b, n)
		}
	})
	b.Run("contended", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				lease(b, n)
			}
		})
	})
}

func lease(b *testing.B, n *node) {
	c, err := n.acquire(context.Background(), false)
	if err != nil {
		b.Fatal(err)
	}
	n.release(c)
}

// nodeOnListener is the node of a pool whose connections lead to a listener
// that accepts and stays silent.
func nodeOnListener(b testing.TB) *node {
	listener, err := newSilentListener()
	if err != nil {
		b.Fatal(err)
	}
	p, err := New(Options{Address: listener.Addr().String(), MaxConnections: 2, DisableCompression: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		p.Close(context.Background())
		listener.Close()
	})
	return p.node
}

// newSilentListener needs no goroutine: the kernel completes connections that
// nobody accepts.
func newSilentListener() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
