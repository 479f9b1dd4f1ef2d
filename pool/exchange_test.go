package pool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var ctx = context.Background()

// A connection that delivered something wrong must never be used again.
//
//covers:frames
func TestBadAnswersBreakTheConnection(t *testing.T) {
	frame := func(p *peer, req msg.Request) []byte { return p.frame(req, echo(p, req)) }
	put := func(at int, value uint32) func(*peer, msg.Request) []byte {
		return func(p *peer, req msg.Request) []byte {
			b := frame(p, req)
			binary.LittleEndian.PutUint32(b[at:], value)
			return b
		}
	}
	lengths := func(n uint32) func(*peer, msg.Request) []byte {
		return func(p *peer, req msg.Request) []byte {
			b := frame(p, req)
			binary.LittleEndian.PutUint32(b[8:], n)
			binary.LittleEndian.PutUint32(b[12:], n)
			return b
		}
	}
	for _, c := range []struct {
		name  string
		bytes func(*peer, msg.Request) []byte
	}{
		{"foreign correlation id", func(p *peer, req msg.Request) []byte {
			return p.frame(req, &msg.DetailsResponse{Correlated: msg.Correlated{CorrelationID: msg.Some(me)}})
		}},
		{"foreign correlation id in an error", func(p *peer, req msg.Request) []byte {
			return p.frame(req, &msg.ErrorResponse{Correlated: msg.Correlated{CorrelationID: msg.Some(me)}, Code: msg.CodeDetailsNotFound})
		}},
		{"no correlation id", func(p *peer, req msg.Request) []byte {
			b, _ := wire.AppendResponse(nil, p.version, &msg.DetailsResponse{}, nil, 0)
			return b
		}},
		{"another operation's answer", func(p *peer, req msg.Request) []byte { return p.frame(req, &msg.DeleteResponse{}) }},
		{"a watch frame", func(p *peer, req msg.Request) []byte { return p.frame(req, &msg.WatchResponse{}) }},
		{"a page instead", func(p *peer, req msg.Request) []byte { return p.frame(req, &msg.ReadResponse{}) }},
		{"protocol error response", func(p *peer, req msg.Request) []byte { return p.frame(req, &msg.ProtocolErrorResponse{}) }},
		{"unknown version", put(0, 4)},
		{"unknown type", put(4, 99)},
		{"unequal lengths", put(12, 3)},
		{"oversize length", lengths(1 << 31)},
		{"oversize fixed body", lengths(1008)},
		{"undecodable body", lengths(3)},
		{"unknown compression", func(p *peer, req msg.Request) []byte {
			b := frame(p, req)
			b[16] = 7
			return b
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := serve(t, func(p *peer) {
				for req := p.next(); req != nil; req = p.next() {
					if p.number > 0 {
						p.answer(req, echo(p, req))
						continue
					}
					p.Write(c.bytes(p, req))
				}
			})
			p := open(t, plain(f))
			err := details(ctx, p, 4)
			if !errors.Is(err, pool.ErrProtocol) {
				t.Fatalf("got %v", err)
			}
			if err := details(ctx, p, 5); err != nil {
				t.Fatal(err)
			}
			if f.accepted() != 2 {
				t.Errorf("%d connections were used", f.accepted())
			}
		})
	}
}

// An answer cut anywhere is a lost connection, and for a write an unknown outcome.
//
//covers:halfopen
func TestAnswersCutAtEveryByte(t *testing.T) {
	length := len((&peer{fake: &fake{t: t}, version: wire.V2}).frame(&msg.WriteRequest{Correlated: msg.Correlated{CorrelationID: msg.Some(me)}}, echo(nil, &msg.WriteRequest{})))
	cuts := make(chan int, 1)
	f := serve(t, func(p *peer) {
		if req := p.next(); req != nil {
			p.Write(p.frame(req, echo(p, req))[:<-cuts])
		}
	})
	p := open(t, plain(f))
	for cut := range length {
		cuts <- cut
		_, err := p.WriteEvents(ctx, key, []msg.Event{{Major: 1}}, me, pool.WriteOptions{})
		if !errors.Is(err, pool.ErrConnectionLost) || !msg.Ambiguous(err) || msg.SafeToRetry(err) {
			t.Fatalf("cut after %d bytes: %v", cut, err)
		}
	}
	cuts <- length
	if _, err := p.WriteEvents(ctx, key, []msg.Event{{Major: 1}}, me, pool.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestHalfOpenNodeTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := serveMemory(t, (*peer).drain)
		opts.RequestTimeout = 30 * time.Millisecond
		p := open(t, opts)
		_, err := p.WriteEvents(ctx, key, nil, me, pool.WriteOptions{})
		want := "pool: write " + key.String() + " at " + opts.Address + ": request timed out after 30ms: outcome unknown"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if !errors.Is(err, pool.ErrRequestTimeout) || !msg.Timeout(err) || !msg.Ambiguous(err) {
			t.Errorf("%v: wrong verdicts", err)
		}
		if err := details(ctx, p, 1); !errors.Is(err, pool.ErrRequestTimeout) || msg.Ambiguous(err) || !msg.SafeToRetry(err) {
			t.Errorf("read: %v: wrong verdicts", err)
		}
		if s := node(p); s.Open != 0 || s.Slots != 0 {
			t.Errorf("connections without an answer are kept: %+v", s)
		}
	})
}

// A stalled answer is bounded as a whole, not per byte.
func TestTrickledAnswerTimesOut(t *testing.T) {
	f := serve(t, func(p *peer) {
		req := p.next()
		for _, b := range p.frame(req, echo(p, req)) {
			if _, err := p.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	opts := plain(f)
	opts.RequestTimeout = 50 * time.Millisecond
	if err := details(ctx, open(t, opts), 1); !errors.Is(err, pool.ErrRequestTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestServerErrorsKeepTheConnection(t *testing.T) {
	for code, closes := range map[msg.Code]bool{
		msg.CodeDetailsNotFound: false, msg.CodeServerBusy: false, msg.CodeVersionConflict: false,
		msg.CodeClientIDMismatch: false, msg.CodeReadOnlyKey: false, msg.CodeRouting: false,
		msg.CodeIdentityRequired: true, msg.CodeAPIKeyRequired: true,
	} {
		f := serve(t, func(p *peer) {
			req := p.next()
			p.refuse(req, code, `{"num_shards":3}`)
			each(echo)(p)
		})
		p := open(t, plain(f))
		err := details(ctx, p, 4)
		var refusal *msg.ServerError
		if !errors.As(err, &refusal) || refusal.Code != code || refusal.Node != f.address() || refusal.Fields.NumShards.Value != 3 {
			t.Errorf("%v: got %v", code, err)
		}
		if kept := node(p).Idle == 1; kept == closes {
			t.Errorf("%v: connection kept: %v", code, kept)
		}
	}
}

// Bytes behind an answer belong to no request.
func TestUnsolicitedBytesBreakTheConnection(t *testing.T) {
	f := serve(t, func(p *peer) {
		req := p.next()
		p.Write(append(p.frame(req, echo(p, req)), 1, 2, 3))
		each(echo)(p)
	})
	p := open(t, plain(f))
	for i := range uint64(3) {
		if err := details(ctx, p, i); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.accepted(); got != 3 {
		t.Errorf("%d connections for 3 dirty answers", got)
	}
}

func TestOversizeRequestsAreNotSent(t *testing.T) {
	f := serve(t, each(echo))
	opts := plain(f)
	opts.MaxRequestSize = 2000
	p := open(t, opts)
	many := &msg.DeleteRequest{}
	for n := range uint64(40) {
		many.Deletes = append(many.Deletes, msg.AggregateDelete{Key: keyOf(n)})
	}
	large := []msg.Event{{Major: 1, Value: make([]byte, 3000)}}
	_, writeErr := p.WriteEvents(ctx, key, large, me, pool.WriteOptions{})
	for name, err := range map[string]error{"write": writeErr, "delete": p.Delete(ctx, many)} {
		var size *wire.SizeError
		if !errors.Is(err, pool.ErrTooLarge) || !errors.As(err, &size) || size.Limit == 0 {
			t.Errorf("%s: got %v", name, err)
		}
		if msg.Ambiguous(err) || msg.SafeToRetry(err) {
			t.Errorf("%s: %v: wrong verdicts", name, err)
		}
	}
	if s := node(p); s.Idle != 1 || s.Dials != 1 {
		t.Errorf("the connection did not survive: %+v", s)
	}
}

func TestUnreachableNode(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	p := open(t, pool.Options{Address: listener.Addr().String()})
	_, err = p.WriteEvents(ctx, key, nil, me, pool.WriteOptions{})
	if !errors.Is(err, pool.ErrConnect) || msg.Ambiguous(err) || !msg.SafeToRetry(err) {
		t.Errorf("got %v", err)
	}
	if s := node(p); s.Slots != 0 || s.DialFailures != 1 {
		t.Errorf("after a failed dial: %+v", s)
	}
}

func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := pool.Options{Address: "n:1", ConnectTimeout: 20 * time.Millisecond}
		opts.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		p := open(t, opts)
		err := details(ctx, p, 1)
		if !errors.Is(err, pool.ErrConnectTimeout) || !msg.Timeout(err) || !msg.SafeToRetry(err) || !strings.Contains(err.Error(), "20ms") {
			t.Errorf("got %v", err)
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if err := details(short, p, 1); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pool.ErrConnectTimeout) {
			t.Errorf("the caller's deadline is reported as %v", err)
		}
	})
}

// A socket's timer may win over that of the context it was given: it is the end
// of the context all the same.
func TestConnectTimeoutOfTheSocket(t *testing.T) {
	for range 20 {
		opts := pool.Options{Address: "n:1", ConnectTimeout: time.Millisecond, DisableCompression: true}
		opts.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			for deadline, _ := ctx.Deadline(); time.Now().Before(deadline); {
			}
			return nil, os.ErrDeadlineExceeded
		}
		if err := details(ctx, open(t, opts), 1); !errors.Is(err, pool.ErrConnectTimeout) {
			t.Errorf("its own: %v", err)
		}
		opts.ConnectTimeout = time.Hour // the dial is the pool's, and goes on
		opts.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, os.ErrDeadlineExceeded
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		p := open(t, opts)
		if err := details(short, p, 1); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pool.ErrConnectTimeout) || node(p).DialFailures != 0 {
			t.Errorf("the caller's: %v", err)
		}
		cancel()
	}
}

// The request stays the caller's: it may be shared.
func TestRequestsAreNotChanged(t *testing.T) {
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if r, ok := req.(*msg.ReadRequest); ok && r.Filters.From != 1 {
			t.Errorf("from %d was sent", r.Filters.From)
		}
		if !req.Correlation().Set {
			t.Error("no correlation id was sent")
		}
		return echo(p, req)
	}))
	p := open(t, plain(f))
	req := msg.ReadRequest{Key: key}
	before := req
	if _, err := p.Read(ctx, &req); err != nil {
		t.Fatal(err)
	}
	if req.Key != before.Key || req.Filters.From != 0 || req.CorrelationID.Set {
		t.Errorf("changed to %+v", req)
	}
}

func TestEveryOperationInBothVersions(t *testing.T) {
	for _, version := range []int{2, 3} {
		var seen []msg.RequestType
		f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
			if p.version != wire.Version(version) {
				t.Errorf("%v came in version %d", req.RequestType(), p.version)
			}
			seen = append(seen, req.RequestType())
			switch req.(type) {
			case *msg.ListOrgsRequest:
				return &msg.ListOrgsResponse{Orgs: []msg.ID{org}}
			case *msg.ListTypesRequest:
				return &msg.ListTypesResponse{Types: []msg.TypeItem{{Org: org, Type: kind}}}
			case *msg.ListAggregatesRequest:
				return &msg.ListAggregatesResponse{Aggregates: []msg.AggregateItem{{Key: key}}}
			}
			return echo(p, req)
		}))
		opts := plain(f)
		opts.ProtocolVersion = version
		p := open(t, opts)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		check(details(ctx, p, 7))
		_, err := p.Read(ctx, &msg.ReadRequest{Key: key})
		check(err)
		_, err = p.Write(ctx, &msg.WriteRequest{ClientID: me, Writes: []msg.AggregateWrite{{Key: key}}})
		check(err)
		check(p.TrimStart(ctx, &msg.TrimStartRequest{Key: key}))
		check(p.Delete(ctx, &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key}}}))
		check(p.RegisterSchema(ctx, &msg.RegisterSchemaRequest{Schema: "{}"}))
		orgs, err := p.ListOrgsPage(ctx, &msg.ListOrgsRequest{})
		check(err)
		types, err := p.ListTypesPage(ctx, &msg.ListTypesRequest{})
		check(err)
		aggregates, err := p.ListAggregatesPage(ctx, &msg.ListAggregatesRequest{})
		check(err)
		if len(seen) != 9 || orgs.Orgs[0] != org || types.Types[0].Type != kind || aggregates.Aggregates[0].Key != key {
			t.Errorf("version %d: %v, %v, %v, %v", version, seen, orgs, types, aggregates)
		}
	}
}
