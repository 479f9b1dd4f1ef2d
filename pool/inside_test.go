package pool

import (
	"context"
	"net"
	"testing"
)

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
func nodeOnListener(b *testing.B) *node {
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
