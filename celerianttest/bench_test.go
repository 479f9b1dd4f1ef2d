package celerianttest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// roundTrip is a client as thin as can be, so that what is measured is the node
// and the loopback interface.
type roundTrip struct {
	socket net.Conn
	in     *bufio.Reader
	frame  []byte
	body   []byte
}

func newRoundTrip(b *testing.B, node *celerianttest.Node) *roundTrip {
	b.Helper()
	socket, err := net.Dial("tcp", node.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = socket.Close() })
	return &roundTrip{socket: socket, in: bufio.NewReaderSize(socket, 64<<10)}
}

// do sends a request and reads its answer, undecoded.
func (r *roundTrip) do(b *testing.B, v wire.Version, req msg.Request) int {
	var err error
	if r.frame, err = wire.AppendRequest(r.frame[:0], v, req, nil, 0); err != nil {
		b.Fatal(err)
	}
	return r.raw(b)
}

func (r *roundTrip) raw(b *testing.B) int {
	if _, err := r.socket.Write(r.frame); err != nil {
		b.Fatal(err)
	}
	h, body, err := wire.ReadResponseFrame(r.in, 0, nil, r.body)
	if err != nil {
		b.Fatal(err)
	}
	if msg.ResponseType(h.Type) == msg.TypeErrorResponse {
		b.Fatalf("an error: %s", body)
	}
	r.body = body
	return len(body)
}

func BenchmarkWrite(b *testing.B) {
	for _, kept := range []string{"memory", "files"} {
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			b.Run(fmt.Sprintf("v%d/%s", v, kept), func(b *testing.B) {
				var opts celerianttest.Options
				if kept == "files" {
					opts.DataRoot = b.TempDir()
				}
				r := newRoundTrip(b, celerianttest.Run(b, opts))
				req := writeTo(key(1), event(1, strings.Repeat("x", 200)))
				b.ReportAllocs()
				for b.Loop() {
					r.do(b, v, req)
				}
			})
		}
	}
}

func BenchmarkWriteConcurrently(b *testing.B) {
	node := celerianttest.Run(b, celerianttest.Options{Shards: 4})
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		r := newRoundTrip(b, node)
		req := writeTo(key(1), event(1, strings.Repeat("x", 200)))
		for pb.Next() {
			r.do(b, wire.V2, req)
		}
	})
}

// BenchmarkRead reads a page of 1,000 events of 200 bytes.
func BenchmarkRead(b *testing.B) {
	const events, batch = 1000, 10
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		b.Run(fmt.Sprintf("v%d", v), func(b *testing.B) {
			r := newRoundTrip(b, celerianttest.Run(b, celerianttest.Options{}))
			list := make([]msg.Event, batch)
			for i := range list {
				list[i] = event(uint64(i), strings.Repeat("x", 200))
			}
			for range events / batch {
				r.do(b, v, writeTo(key(1), list...))
			}
			req := readFrom(key(1), 1)
			b.ReportAllocs()
			for b.Loop() {
				b.SetBytes(int64(r.do(b, v, req)))
			}
			b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkWatch measures how fast one watcher is told of single changes.
func BenchmarkWatch(b *testing.B) {
	node := celerianttest.Run(b, celerianttest.Options{MaxUndelivered: 1 << 30})
	w := watching(dialTCP(b, node), 1)
	w.version = wire.V2
	r := newRoundTrip(b, node)
	_ = w.socket.SetReadDeadline(time.Time{})
	done := make(chan error, 1)
	go func() {
		var body []byte
		var err error
		for n := 0; n < b.N+1 && err == nil; n++ { // a create, and a write for each round trip
			_, body, err = wire.ReadResponseFrame(w.in, 0, nil, body)
		}
		done <- err
	}()
	req := writeTo(key(1), event(1, "x"))
	b.ResetTimer()
	for range b.N {
		r.do(b, wire.V2, req)
	}
	if err := <-done; err != nil && err != io.EOF {
		b.Fatal(err)
	}
}
