package celerianttest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// peer is the client side of one connection: it sends what a test wants, also
// what no decent client would, and fails the test when something goes wrong.
type peer struct {
	t       testing.TB
	socket  net.Conn
	in      *bufio.Reader
	version wire.Version
	coder   *wire.Coder // once identified
}

// patience is how long a peer waits for what must come.
const patience = 30 * time.Second

func newPeer(t testing.TB, socket net.Conn) *peer {
	p := &peer{t: t, socket: socket, in: bufio.NewReader(socket), version: wire.V3}
	t.Cleanup(p.close)
	return p
}

// dial connects through memory.
func dial(t testing.TB, n *celerianttest.Node) *peer {
	t.Helper()
	socket, err := n.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, socket)
}

// dialTCP connects over the loopback interface.
func dialTCP(t testing.TB, n *celerianttest.Node) *peer {
	t.Helper()
	socket, err := net.Dial("tcp", n.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, socket)
}

func (p *peer) close() {
	_ = p.socket.Close()
	if p.coder != nil {
		p.coder.Close()
		p.coder = nil
	}
}

func (p *peer) send(req msg.Request) {
	p.t.Helper()
	p.write(frameOf(p.t, p.version, req))
}

func frameOf(t testing.TB, v wire.Version, req msg.Request) []byte {
	t.Helper()
	frame, err := wire.AppendRequest(nil, v, req, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.socket.Write(b); err != nil {
		p.t.Fatalf("writing %d bytes: %v", len(b), err)
	}
}

// receive reads one response.
func (p *peer) receive() (wire.Header, msg.Response, error) {
	_ = p.socket.SetReadDeadline(time.Now().Add(patience))
	h, body, err := wire.ReadResponseFrame(p.in, 0, p.coder, nil)
	if err != nil {
		return h, nil, err
	}
	resp, err := wire.DecodeResponse(h.Version, msg.ResponseType(h.Type), body)
	if identified, ok := resp.(*msg.IdentifyResponse); ok && identified.DictBytes != nil {
		if p.coder, err = wire.NewCoder(identified.DictBytes); err != nil {
			return h, nil, err
		}
	}
	return h, resp, err
}

func (p *peer) recv() msg.Response {
	p.t.Helper()
	_, resp, err := p.receive()
	if err != nil {
		p.t.Fatalf("waiting for a response: %v", err)
	}
	return resp
}

// call sends a request and returns its answer.
func (p *peer) call(req msg.Request) msg.Response {
	p.t.Helper()
	p.send(req)
	return p.recv()
}

// want receives a response and compares it.
func (p *peer) want(want msg.Response) {
	p.t.Helper()
	if got := p.recv(); !reflect.DeepEqual(got, want) {
		p.t.Fatalf("got  %T %+v\nwant %T %+v", got, got, want, want)
	}
}

// wantError receives an error of the code and returns its message.
func (p *peer) wantError(code msg.Code) string {
	p.t.Helper()
	got := p.recv()
	failure, ok := got.(*msg.ErrorResponse)
	if !ok || failure.Code != code {
		p.t.Fatalf("got %T %+v, want error %v", got, got, code)
	}
	return failure.Message
}

// wantNotifications receives one watch frame for each notification.
func (p *peer) wantNotifications(want ...msg.Notification) {
	p.t.Helper()
	for _, n := range want {
		p.want(&msg.WatchResponse{Notifications: []msg.Notification{n}})
	}
}

// silent fails when anything arrives, an end of stream included, within d.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	_ = p.socket.SetReadDeadline(time.Now().Add(d))
	b, err := p.in.ReadByte()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("want %v of silence, got byte %#x, %v", d, b, err)
	}
}

// eof fails unless the node closes without another byte. A reset is a close
// that met unread bytes.
func (p *peer) eof() {
	p.t.Helper()
	_ = p.socket.SetReadDeadline(time.Now().Add(patience))
	b, err := p.in.ReadByte()
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("want the end of the stream, got byte %#x, %v", b, err)
	}
}

// The vocabulary of the tests.

func id(n uint64) msg.ID { return msg.IDFromUint64(n) }

func key(n uint64) msg.Key { return msg.Key{Org: id(1), Type: id(2), Aggregate: id(n)} }

var writer = id(77)

func event(seq uint64, payload string) msg.Event {
	return msg.Event{ClientSeq: seq, Timestamp: 1700000000000 + seq, Major: 1, Value: []byte(payload)}
}

func writeTo(k msg.Key, events ...msg.Event) *msg.WriteRequest {
	return &msg.WriteRequest{ClientID: writer, Writes: []msg.AggregateWrite{{Key: k, Events: events}}}
}

func readFrom(k msg.Key, from uint64) *msg.ReadRequest {
	return &msg.ReadRequest{Key: k, Filters: msg.ReadFilters{From: from}}
}

func written(version uint64) *msg.WriteResponse {
	return &msg.WriteResponse{MaxVersion: msg.Some(version)}
}

func created(k msg.Key) msg.Notification { return msg.Notification{Key: k, Operation: msg.OpCreate} }

func wrote(k msg.Key, from, to uint64) msg.Notification {
	return msg.Notification{Key: k, Operation: msg.OpWrite, From: msg.Some(from), To: msg.Some(to)}
}

// watching sends a watch for aggregates and takes the acknowledgement.
func watching(p *peer, aggregates ...uint64) *peer {
	p.t.Helper()
	req := &msg.WatchRequest{}
	for _, n := range aggregates {
		req.Aggregates = append(req.Aggregates, id(n))
	}
	p.send(req)
	p.want(&msg.WatchResponse{})
	return p
}
