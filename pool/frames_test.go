package pool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// reply is a frame of every kind that a node sends, as an answer to req.
func reply(p *peer, req msg.Request) msg.Response {
	switch req.(type) {
	case *msg.IdentifyRequest:
		return &msg.IdentifyResponse{Access: msg.Some(msg.ReadWrite)}
	case *msg.WatchRequest:
		return &msg.WatchResponse{Notifications: written}
	case *msg.ReadRequest:
		return &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, Events: events(2, []byte("value"))}}}
	case *msg.ListOrgsRequest:
		return &msg.ListOrgsResponse{Orgs: []msg.ID{org}}
	case *msg.DetailsRequest:
		return &msg.ErrorResponse{Code: msg.CodeDetailsNotFound, Message: "{}"}
	}
	return echo(p, req)
}

// asking is one operation for each kind of frame a node sends.
var asking = map[string]func(*pool.Pool) error{
	"page":  func(p *pool.Pool) error { _, err := p.Read(ctx, &msg.ReadRequest{Key: key}); return err },
	"list":  func(p *pool.Pool) error { _, err := p.ListOrgsPage(ctx, &msg.ListOrgsRequest{}); return err },
	"error": func(p *pool.Pool) error { return details(ctx, p, 1) },
	"acknowledgement": func(p *pool.Pool) error {
		w, err := p.Watch(ctx, &msg.WatchRequest{})
		if err == nil {
			w.Close()
		}
		return err
	},
}

// cutter cuts frames, each one byte later than the one before.
type cutter struct {
	cuts  chan int
	whole chan bool
}

func newCutter() *cutter { return &cutter{make(chan int, 1), make(chan bool, 1)} }

// send is the node's side; it returns whether the frame was sent whole.
func (c *cutter) send(p *peer, frame []byte) bool {
	cut := <-c.cuts
	whole := cut >= len(frame)
	c.whole <- whole
	p.Write(frame[:min(cut, len(frame))])
	return whole
}

// each calls ask for each cut and then for the whole frame.
func (c *cutter) each(ask func(cut int) error, check func(cut int, err error, whole bool)) {
	for cut, whole := 0, false; !whole; cut++ {
		c.cuts <- cut
		err := ask(cut)
		whole = <-c.whole
		check(cut, err, whole)
	}
}

// An answer of any kind that is cut after any byte is a lost connection: in
// both versions, and never something to go on with.
func TestEveryKindOfAnswerCutAtEveryByte(t *testing.T) {
	for name, ask := range asking {
		for _, version := range []int{2, 3} {
			c := newCutter()
			f := serve(t, func(p *peer) {
				if req := p.next(); req != nil && c.send(p, p.frame(req, reply(p, req))) {
					p.drain()
				}
			})
			opts := plain(f)
			opts.ProtocolVersion = version
			p := open(t, opts)
			c.each(func(int) error { return ask(p) }, func(cut int, err error, whole bool) {
				if lost := errors.Is(err, pool.ErrConnectionLost); lost == whole || msg.Ambiguous(err) || errors.Is(err, pool.ErrProtocol) {
					t.Errorf("%s, version %d, cut after %d bytes: %v", name, version, cut, err)
				}
			})
		}
	}
}

// A frame of an open watch, cut anywhere, ends the watch.
func TestWatchFramesCutAtEveryByte(t *testing.T) {
	for _, version := range []int{2, 3} {
		c := newCutter()
		f := serve(t, watched(func(p *peer, _ *msg.WatchRequest) {
			c.send(p, p.frame(nil, &msg.WatchResponse{Notifications: written}))
			p.Close()
		}))
		opts := plain(f)
		opts.ProtocolVersion = version
		p := open(t, opts)
		var got []msg.Notification
		c.each(func(int) error {
			w := openWatch(t, p)
			frame, err := w.Next(ctx)
			got = slices.Clone(frame)
			if err == nil {
				_, err = w.Next(ctx)
			}
			return err
		}, func(cut int, err error, whole bool) {
			if !errors.Is(err, pool.ErrConnectionLost) || slices.Equal(got, written) != whole {
				t.Errorf("version %d, cut after %d bytes: %v, %v", version, cut, got, err)
			}
		})
	}
}

// An Identify whose answer is cut anywhere opens no connection: with credentials
// nothing else is ever sent.
func TestIdentifyCutAtEveryByte(t *testing.T) {
	c := newCutter()
	f := serve(t, func(p *peer) {
		req := p.next()
		if c.send(p, p.frame(req, reply(p, req))) {
			each(echo)(p)
		} else if p.Conn.(*net.TCPConn).CloseWrite(); p.next() != nil {
			t.Error("something came behind a cut Identify")
		}
	})
	c.each(func(int) error { // each time another pool: no breaker
		_, err := open(t, pool.Options{Address: f.address(), Identity: pool.FixedIdentity(withKey(writeKey))}).Write(ctx, oneWrite)
		return err
	}, func(cut int, err error, whole bool) {
		if whole != (err == nil) || !whole && (!errors.Is(err, pool.ErrConnect) || msg.Ambiguous(err)) {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	})
}

// tampered changes the bytes of an answer.
type tampered func(p *peer, req msg.Request, frame []byte) []byte

func lengths(compressed, whole uint32) tampered {
	return func(_ *peer, _ msg.Request, frame []byte) []byte {
		binary.LittleEndian.PutUint32(frame[8:], compressed)
		binary.LittleEndian.PutUint32(frame[12:], whole)
		return frame
	}
}

func marked(compression wire.Compression, change tampered) tampered {
	return func(p *peer, req msg.Request, frame []byte) []byte {
		frame[16] = byte(compression)
		return change(p, req, frame)
	}
}

// Every kind of answer, those to Identify and the frames of a watch included,
// is refused when it is none: a foreign correlation id, a length beyond the
// limit, a compression without a dictionary.
func TestNonsenseOfEveryKind(t *testing.T) {
	foreign := func(p *peer, req msg.Request, frame []byte) []byte {
		resp := reply(p, req)
		if c, ok := resp.(interface{ SetCorrelation(msg.Opt[msg.ID]) }); ok {
			c.SetCorrelation(msg.Some(me))
		}
		return p.frame(req, resp)
	}
	packed := func(p *peer, req msg.Request, _ []byte) []byte {
		coder := coderOf(t, 1)
		resp := &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, Events: events(1, make([]byte, 4000))}}}
		resp.CorrelationID = req.Correlation()
		frame, err := wire.AppendResponse(nil, p.version, resp, coder, 0)
		if err != nil || frame[16] == 0 {
			t.Errorf("not packed: %v", err)
		}
		return frame
	}
	asking := map[string]func(*pool.Pool) error{"identify": nil, "watch frame": nil, "page": asking["page"], "list": asking["list"], "error": asking["error"], "acknowledgement": asking["acknowledgement"]}
	for name, c := range map[string]struct {
		change tampered
		not    []string // kinds it does not apply to
		large  bool
	}{
		"foreign correlation id":   {foreign, []string{"acknowledgement", "watch frame"}, false},
		"oversize":                 {lengths(1<<30, 1<<30), nil, true},
		"oversize when unpacked":   {marked(wire.ZstdDict, lengths(40, 1<<30)), []string{"identify", "error"}, true},
		"no dictionary":            {marked(wire.ZstdDict, lengths(20, 60)), nil, false},
		"a packed page, truly":     {packed, []string{"identify", "list", "error", "acknowledgement", "watch frame"}, false},
		"unequal lengths unpacked": {lengths(20, 21), nil, false},
	} {
		for kind, ask := range asking {
			if slices.Contains(c.not, kind) {
				continue
			}
			f := serve(t, func(p *peer) {
				req := p.next()
				if kind == "watch frame" {
					p.answer(req, &msg.WatchResponse{})
					p.Write(c.change(p, nil, p.frame(nil, &msg.WatchResponse{Notifications: written})))
				} else {
					p.Write(c.change(p, req, p.frame(req, reply(p, req))))
				}
				if next := p.next(); next != nil {
					t.Errorf("%s, %s: then %T", name, kind, next)
				}
			})
			opts := plain(f)
			switch kind {
			case "identify":
				opts.DisableCompression, opts.Identity = false, pool.FixedIdentity(withKey(writeKey))
				ask = func(p *pool.Pool) error { _, err := p.Write(ctx, oneWrite); return err }
			case "watch frame":
				ask = func(p *pool.Pool) error { _, err := openWatch(t, p).Next(ctx); return err }
			}
			p := open(t, opts)
			err := ask(p)
			if !errors.Is(err, pool.ErrProtocol) || msg.Ambiguous(err) || c.large != errors.Is(err, pool.ErrResponseTooLarge) {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
			if s := node(p); s.Open != 0 || s.Watches != 0 {
				t.Errorf("%s, %s: %+v", name, kind, s)
			}
		}
	}
}

// Each direction has a limit of its own; watches know theirs, too.
func TestLimitsOfEachDirection(t *testing.T) {
	value := make([]byte, 10_000)
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		switch req.(type) {
		case *msg.ReadRequest:
			return &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, Events: events(1, value)}}}
		case *msg.WatchRequest:
			p.answer(req, &msg.WatchResponse{})
			return &msg.WatchResponse{Notifications: manyNotifications(200)}
		}
		return echo(p, req)
	}))
	for _, c := range []struct {
		requests, responses int
		write, read         error
	}{{2000, 20_000, pool.ErrTooLarge, nil}, {20_000, 2000, nil, pool.ErrResponseTooLarge}} {
		opts := plain(f)
		opts.MaxRequestSize, opts.MaxResponseSize = c.requests, c.responses
		p := open(t, opts)
		if _, err := p.WriteEvents(ctx, key, events(1, value), me, pool.WriteOptions{}); !errors.Is(err, c.write) {
			t.Errorf("%+v: write: %v", c, err)
		}
		if _, err := p.Read(ctx, &msg.ReadRequest{Key: key}); !errors.Is(err, c.read) {
			t.Errorf("%+v: read: %v", c, err)
		}
		if _, err := openWatch(t, p).Next(ctx); !errors.Is(err, c.read) {
			t.Errorf("%+v: watch: %v", c, err)
		}
	}
}

// A request that does not fit the node's fixed buffer is refused before anything is sent,
// on every way to send it.
func TestOversizeFixedRequests(t *testing.T) {
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		if _, ok := req.(*msg.DetailsRequest); !ok {
			t.Errorf("%T was sent", req)
		}
		return echo(p, req)
	}))
	ids := make([]msg.ID, 100)
	p := open(t, plain(f))
	watch := &msg.WatchRequest{Aggregates: ids}
	var types []uint64
	for n := range uint64(400) {
		types = append(types, 1e6+n)
	}
	many := &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{EventTypes: types}}
	deletes := &msg.DeleteRequest{Deletes: make([]msg.AggregateDelete, 20)}
	for i := range deletes.Deletes {
		deletes.Deletes[i].Key = keyOf(uint64(i))
	}
	c := connect(t, plain(f))
	for name, err := range map[string]error{
		"watch": second(p.Watch(ctx, watch)), "read": second(p.Read(ctx, many)), "delete": p.Delete(ctx, deletes),
		"watch alone": second(c.Watch(ctx, watch)), "read alone": second(c.Read(ctx, many)), "delete alone": c.Delete(ctx, deletes),
	} {
		if !errors.Is(err, pool.ErrTooLarge) || msg.Ambiguous(err) || msg.SafeToRetry(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Details(ctx, key); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// Secrets show in no error and no log, whatever fails, and in no hook.
func TestSecretsNeverShow(t *testing.T) {
	pair := keyPair(t)
	credentials := pool.Credentials{APIKey: apiKey(t, secretText), KeyPair: pair}
	repeating := func(code msg.Code) func(*peer, msg.Request) msg.Response {
		return func(_ *peer, req msg.Request) msg.Response {
			r, ok := req.(*msg.IdentifyRequest)
			if !ok {
				return nil
			}
			return &msg.ErrorResponse{Code: code, Message: "refused: " + r.APIKey.Value}
		}
	}
	for name, script := range map[string]func(*peer){
		"refused":    each(repeating(msg.CodeAPIKeyInvalid)),
		"busy":       each(repeating(msg.CodeServerBusy)),
		"nonce":      each(repeating(msg.CodeNonce)),
		"unknown":    each(repeating(4711)),
		"closed":     func(p *peer) { p.next() },
		"nonsense":   func(p *peer) { p.next(); p.Write(make([]byte, 100)) },
		"echoed":     func(p *peer) { b := make([]byte, 4096); n, _ := p.Read(b); p.Write(b[:n]) },
		"silent":     (*peer).drain,
		"other pair": each(func(*peer, msg.Request) msg.Response { return &msg.IdentifyResponse{ClientID: msg.Some(me)} }),
	} {
		f := serve(t, script)
		var log journal
		var said strings.Builder
		note := func(err error) {
			if err == nil {
				t.Errorf("%s: nothing failed", name)
				return
			}
			said.WriteString(err.Error() + "\n")
		}
		opts := pool.Options{Address: f.address(), Identity: pool.FixedIdentity(credentials), Logger: log.logger()}
		if name == "silent" {
			opts.ConnectTimeout = 20 * time.Millisecond
		}
		opts.Hooks.Connected = func(c pool.Connected) { note(c.Err) }
		p := open(t, opts)
		note(details(ctx, p, 1))
		note(second(p.Write(ctx, oneWrite)))
		note(second(p.Watch(ctx, &msg.WatchRequest{})))
		note(second(pool.Connect(context.Background(), opts)))
		all := said.String() + log.String()
		for _, secret := range []string{secretText, "s3cr3t", rsaKey().D.String()} {
			if strings.Contains(all, secret) {
				t.Errorf("%s: %q shows in %s", name, secret, all)
			}
		}
	}
}
