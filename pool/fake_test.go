package pool_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var (
	org  = msg.IDFromUint64(1)
	kind = msg.IDFromUint64(2)
	me   = msg.IDFromUint64(3)
	key  = keyOf(4)
)

func keyOf(n uint64) msg.Key { return msg.Key{Org: org, Type: kind, Aggregate: msg.IDFromUint64(n)} }

// fake is a node that does what a test's script says, on a real socket.
type fake struct {
	t        testing.TB
	listener net.Listener
	script   func(*peer)
	running  sync.WaitGroup

	mu     sync.Mutex
	peers  []*peer
	closed bool
}

// peer is the fake's end of one connection.
type peer struct {
	net.Conn
	fake   *fake
	number int // 0 for the first connection accepted
	coder  *wire.Coder
	// version is that of the latest request.
	version wire.Version
}

// serve starts a fake; script runs once for each connection and its return
// closes the connection.
func serve(t testing.TB, script func(*peer)) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, listener: listener, script: script}
	f.running.Go(f.accept)
	t.Cleanup(f.stop)
	return f
}

func (f *fake) accept() {
	for {
		nc, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.start(nc)
	}
}

func (f *fake) start(nc net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &peer{Conn: nc, fake: f, number: len(f.peers)}
	f.peers = append(f.peers, p)
	if f.closed {
		nc.Close()
		return
	}
	f.running.Go(func() { // under the lock: stop waits for all that were started before it
		defer nc.Close()
		f.script(p)
	})
}

func (f *fake) stop() {
	if f.listener != nil {
		f.listener.Close()
	}
	f.mu.Lock()
	f.closed = true
	for _, p := range f.peers {
		p.Close()
	}
	f.mu.Unlock()
	f.running.Wait()
}

func (f *fake) accepted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.peers)
}

func (f *fake) address() string { return f.listener.Addr().String() }

// next reads one request; nil when the connection is over.
func (p *peer) next() msg.Request {
	header, body, err := wire.ReadRequestFrame(p, 0, p.coder, nil)
	if err != nil {
		return nil
	}
	p.version = header.Version
	req, err := wire.DecodeRequest(header.Version, msg.RequestType(header.Type), body)
	if err != nil {
		p.fake.t.Errorf("fake: %v", err)
		return nil
	}
	return req
}

// frame is the answer to req as bytes.
func (p *peer) frame(req msg.Request, resp msg.Response) []byte {
	if c, ok := resp.(interface{ SetCorrelation(msg.Opt[msg.ID]) }); ok && req != nil && !resp.Correlation().Set {
		c.SetCorrelation(req.Correlation())
	}
	b, err := wire.AppendResponse(nil, p.version, resp, p.coder, 0)
	if err != nil {
		p.fake.t.Errorf("fake: %v", err)
	}
	return b
}

func (p *peer) answer(req msg.Request, resp msg.Response) { p.Write(p.frame(req, resp)) }

func (p *peer) refuse(req msg.Request, code msg.Code, message string) {
	p.answer(req, &msg.ErrorResponse{Code: code, Message: message})
}

// drain waits until the other end is gone.
func (p *peer) drain() { io.Copy(io.Discard, p) }

// each answers every request with what reply returns; nil closes.
func each(reply func(*peer, msg.Request) msg.Response) func(*peer) {
	return func(p *peer) {
		for req := p.next(); req != nil; req = p.next() {
			resp := reply(p, req)
			if resp == nil {
				return
			}
			p.answer(req, resp)
		}
	}
}

// echo answers every request with something proper and empty.
func echo(_ *peer, req msg.Request) msg.Response {
	switch r := req.(type) {
	case *msg.DetailsRequest:
		low := new(msg.DetailsResponse)
		_, low.MaxVersion = r.Key.Aggregate.Uint64s()
		return low
	case *msg.ReadRequest:
		return &msg.ReadResponse{}
	case *msg.WriteRequest:
		return &msg.WriteResponse{MaxVersion: msg.Some[uint64](1)}
	case *msg.TrimStartRequest:
		return &msg.TrimStartResponse{}
	case *msg.DeleteRequest:
		return &msg.DeleteResponse{}
	case *msg.RegisterSchemaRequest:
		return &msg.RegisterSchemaResponse{}
	case *msg.IdentifyRequest:
		return &msg.IdentifyResponse{}
	}
	return &msg.ErrorResponse{Code: msg.CodeServerBusy, Message: "{}"}
}

// patient sets timeouts, where there are none, that no busy machine reaches; those
// of tests in virtual time are the usual ones.
func patient(opts pool.Options) pool.Options {
	opts.ConnectTimeout = cmp.Or(opts.ConnectTimeout, time.Minute)
	opts.RequestTimeout = cmp.Or(opts.RequestTimeout, time.Minute)
	return opts
}

// plain are options for a fake that does not expect Identify.
func plain(f *fake) pool.Options {
	return patient(pool.Options{Address: f.address(), DisableCompression: true})
}

func open(t testing.TB, opts pool.Options) *pool.Pool {
	t.Helper()
	if opts.Dial == nil {
		opts = patient(opts)
	}
	p, err := pool.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return p
}

func node(p *pool.Pool) pool.NodeStats { return p.Stats().Nodes[0] }

// details asks for an aggregate whose answer names it.
func details(ctx context.Context, p *pool.Pool, n uint64) error {
	resp, err := p.Details(ctx, keyOf(n))
	if err == nil && resp.MaxVersion != n {
		panic("an answer to somebody else's question")
	}
	return err
}

// until waits for a condition that another goroutine brings about; the test
// fails when it takes absurdly long.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// wrapDial dials TCP and wraps what comes of it.
func wrapDial(wrap func(net.Conn) net.Conn) pool.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return wrap(nc), nil
	}
}

// serveMemory starts a fake without sockets, for virtual time.
func serveMemory(t testing.TB, script func(*peer)) (*fake, pool.Options) {
	f := &fake{t: t, script: script}
	t.Cleanup(f.stop)
	return f, pool.Options{Address: "memory:1", DisableCompression: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		f.start(server)
		return client, nil
	}}
}

// cut ends all connections and goes on.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.peers {
		p.Close()
	}
}

// attemptsOf returns the attempts that an error tells of.
func attemptsOf(err error) []pool.Attempt {
	var failure *pool.Error
	if !errors.As(err, &failure) {
		return nil
	}
	return failure.Attempts()
}
