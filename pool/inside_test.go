package pool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
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

// Under constant load a connection goes from hand to hand without ever being
// idle; it must not look old for that.
func TestHandedOnConnectionIsNotOld(t *testing.T) {
	n := nodeOnListener(t)
	c, err := n.acquire(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	c.idleSince = time.Now().Add(-n.opts.IdleTimeout)
	next := &waiter{ready: make(chan grant, 1)}
	n.mu.Lock()
	n.line.push(next)
	n.mu.Unlock()
	n.release(c)
	if g := <-next.ready; g.conn != c || n.expired(c, time.Now()) {
		t.Errorf("handed on %+v", g)
	}
	n.release(c)
}

// Coders are released when the last user is gone.
func TestCloseReleasesDictionaries(t *testing.T) {
	n := nodeOnListener(t)
	dictionary := []byte("a dictionary")
	sum := sha256.Sum256(dictionary)
	answer := &msg.IdentifyResponse{DictSHA256: msg.Some(hex.EncodeToString(sum[:])), DictBytes: dictionary}
	if coder, found, err := n.dictionaries.resolve(answer); coder == nil || !found || err != nil {
		t.Fatal(coder, found, err)
	}
	c, err := n.acquire(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	n.pool.begin()
	if !n.dictionaries.known().Set {
		t.Error("released under the feet of a user")
	}
	n.release(c)
	if n.dictionaries.known().Set {
		t.Error("not released")
	}
}

// A watch whose acknowledgement arrives when the pool has just been closed is
// closed too, not forgotten.
func TestWatchOpenedBesideClose(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	p, err := New(Options{Address: "memory:1", DisableCompression: true,
		Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil }})
	if err != nil {
		t.Fatal(err)
	}
	go answerOnce(t, server, func(msg.Request) msg.Response {
		p.nodes()[0].close() // without the end of intake, which would cut the exchange
		return &msg.WatchResponse{}
	})
	if _, err := p.Watch(context.Background(), &msg.WatchRequest{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// The dictionary of an answer outlives the buffer it was read into.
func TestDictionaryOwnsItsMemory(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	defer client.Close()
	go answerOnce(t, server, func(req msg.Request) msg.Response {
		return &msg.IdentifyResponse{Correlated: msg.Correlated{CorrelationID: req.Correlation()}, DictBytes: []byte("a dictionary")}
	})
	opts, err := Options{Address: "memory:1"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	resp, _, err := newConn(client, &opts).exchange(context.Background(), &msg.IdentifyRequest{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 { // somebody else's turn with the buffers
		b := getBuffer()
		clear((*b)[:cap(*b)])
	}
	if got := string(resp.(*msg.IdentifyResponse).DictBytes); got != "a dictionary" {
		t.Errorf("it became %q", got)
	}
}

// answerOnce is a node that answers one request.
func answerOnce(t *testing.T, nc net.Conn, reply func(msg.Request) msg.Response) {
	header, body, err := wire.ReadRequestFrame(nc, 0, nil, nil)
	if err != nil {
		t.Error(err)
		return
	}
	req, err := wire.DecodeRequest(header.Version, msg.RequestType(header.Type), body)
	if err != nil {
		t.Error(err)
		return
	}
	frame, err := wire.AppendResponse(nil, header.Version, reply(req), nil, 0)
	if err != nil {
		t.Error(err)
	}
	nc.Write(frame)
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
	return p.nodes()[0]
}

// newSilentListener needs no goroutine: the kernel completes connections that
// nobody accepts.
func newSilentListener() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
