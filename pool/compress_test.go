package pool_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// dictionaryOf is raw-content dictionary number n.
func dictionaryOf(n byte) []byte { return bytes.Repeat([]byte{'d', 'i', 'c', 't', n}, 50) }

func coderOf(t testing.TB, n byte) *wire.Coder {
	coder, err := wire.NewCoder(dictionaryOf(n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coder.Close)
	return coder
}

// introducing answers Identify like a node with the coder's dictionary, then
// goes on.
func introducing(coder *wire.Coder, known chan<- msg.Opt[string], then func(*peer)) func(*peer) {
	return func(p *peer) {
		req, ok := p.next().(*msg.IdentifyRequest)
		if !ok {
			p.fake.t.Error("the first frame is not Identify")
			return
		}
		known <- req.KnownDictSHA256
		resp := &msg.IdentifyResponse{DictSHA256: msg.Some(coder.SHA256())}
		if req.KnownDictSHA256 != resp.DictSHA256 {
			resp.DictBytes = coder.Dictionary()
		}
		p.answer(req, resp)
		p.coder = coder
		then(p)
	}
}

func TestCompressionBothWays(t *testing.T) {
	for _, version := range []int{2, 3} {
		coder := coderOf(t, 1)
		known := make(chan msg.Opt[string], 10)
		value := bytes.Repeat([]byte("compress me "), 300)
		packed := make(chan wire.Compression, 10)
		f := serve(t, introducing(coder, known, func(p *peer) {
			counted := &counting{peer: p, packed: packed}
			for req := counted.next(); req != nil; req = counted.next() {
				switch r := req.(type) {
				case *msg.WriteRequest:
					if !bytes.Equal(r.Writes[0].Events[0].Value, value) {
						t.Error("the value was damaged")
					}
				case *msg.ReadRequest:
					p.answer(req, &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, Events: []msg.Event{{Major: 1, Value: value}}}}})
					continue
				case *msg.WatchRequest:
					p.answer(req, &msg.WatchResponse{})
					notify(p, manyNotifications(500)...)
					p.drain()
					return
				}
				p.answer(req, echo(p, req))
			}
		}))
		p := open(t, pool.Options{Address: f.address(), CompressLoopback: true, ProtocolVersion: version})
		if _, err := p.WriteEvents(ctx, key, []msg.Event{{Major: 1, Value: value}}, me, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := <-packed; got != wire.ZstdDict {
			t.Errorf("version %d: the write came with compression %v", version, got)
		}
		page, err := p.Read(ctx, &msg.ReadRequest{Key: key})
		if err != nil || !bytes.Equal(page.Batches[0].Events[0].Value, value) {
			t.Errorf("version %d: read: %v", version, err)
		}
		w := openWatch(t, p)
		if frame, err := w.Next(ctx); err != nil || len(frame) != 500 {
			t.Errorf("version %d: watch: %d notifications, %v", version, len(frame), err)
		}
		if first, second := <-known, <-known; first.Set || second != msg.Some(coder.SHA256()) {
			t.Errorf("version %d: known dictionaries %v, %v", version, first, second)
		}
	}
}

func manyNotifications(n int) []msg.Notification {
	all := make([]msg.Notification, n)
	for i := range all {
		all[i] = msg.Notification{Key: keyOf(uint64(i)), Operation: msg.OpCreate}
	}
	return all
}

// counting reports the compression of each request.
type counting struct {
	*peer
	packed chan<- wire.Compression
}

func (c *counting) next() msg.Request {
	header, body, err := wire.ReadRequestFrame(c.peer, 0, c.coder, nil)
	if err != nil {
		return nil
	}
	c.version = header.Version
	c.packed <- header.Compression
	req, err := wire.DecodeRequest(header.Version, msg.RequestType(header.Type), body)
	if err != nil {
		c.fake.t.Error(err)
	}
	return req
}

// A page keeps its memory for itself, compressed or not, whatever comes later.
func TestPagesOwnTheirMemory(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		seed := byte(0)
		reply := each(func(p *peer, req msg.Request) msg.Response {
			seed++
			value := make([]byte, 4000)
			rand.NewChaCha8([32]byte{seed}).Read(value[:100])
			return &msg.ReadResponse{Batches: []msg.Batch{{Version: uint64(seed), Events: []msg.Event{{Major: 1, Value: value}}}}}
		})
		if compressed {
			reply = introducing(coderOf(t, 1), make(chan msg.Opt[string], 10), reply)
		}
		f := serve(t, reply)
		p := open(t, pool.Options{Address: f.address(), CompressLoopback: true, DisableCompression: !compressed})
		var pages []*msg.ReadResponse
		var copies []msg.Batch
		for range 20 {
			page, err := p.Read(ctx, &msg.ReadRequest{Key: key})
			if err != nil {
				t.Fatal(err)
			}
			pages, copies = append(pages, page), append(copies, page.Batches[0].Clone())
		}
		for i, page := range pages {
			if page.Batches[0].Version != copies[i].Version || !bytes.Equal(page.Batches[0].Events[0].Value, copies[i].Events[0].Value) {
				t.Fatalf("compressed %v: page %d changed", compressed, i)
			}
		}
	}
}

// A node that knows no Identify, or refuses an anonymous one, is used without.
// A refusal is remembered; a close may have had another cause.
//
//covers:keys
func TestIdentifyRefused(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(*peer, msg.Request)
		times  int
	}{
		"closed": {func(*peer, msg.Request) {}, 3},
		"refused": {func(p *peer, req msg.Request) {
			p.refuse(req, msg.CodeAPIKeyRequired, "API key required but not provided")
		}, 1},
	} {
		var mu sync.Mutex
		identified := 0
		f := serve(t, func(p *peer) { // one answer, and close
			req := p.next()
			if _, ok := req.(*msg.IdentifyRequest); !ok {
				p.answer(req, echo(p, req))
				return
			}
			mu.Lock()
			identified++
			mu.Unlock()
			c.refuse(p, req)
		})
		p := open(t, pool.Options{Address: f.address(), CompressLoopback: true})
		for i := range uint64(3) {
			if err := details(ctx, p, i); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if identified != c.times || f.accepted() != 3+c.times {
			t.Errorf("%s: %d times identified on %d connections", name, identified, f.accepted())
		}
	}
}

// Any other refusal is a failure to connect: the request was not sent.
func TestIdentifyBusy(t *testing.T) {
	f := serve(t, each(func(*peer, msg.Request) msg.Response { return &msg.ErrorResponse{Code: msg.CodeServerBusy} }))
	p := open(t, pool.Options{Address: f.address(), CompressLoopback: true})
	_, err := p.Write(ctx, oneWrite)
	if !errors.Is(err, pool.ErrConnect) || !errors.Is(err, msg.ErrBusy) || msg.Ambiguous(err) || !msg.SafeToRetry(err) {
		t.Error(err)
	}
}

func TestIdentifyTimesOut(t *testing.T) {
	f := serve(t, (*peer).drain)
	p := open(t, pool.Options{Address: f.address(), CompressLoopback: true, ConnectTimeout: 20_000_000})
	if err := details(ctx, p, 1); !errors.Is(err, pool.ErrConnectTimeout) {
		t.Error(err)
	}
}

func TestDictionariesThatMakeNoSense(t *testing.T) {
	hash := coderOf(t, 1).SHA256()
	for name, resp := range map[string]msg.IdentifyResponse{
		"wrong hash":  {DictSHA256: msg.Some(hash), DictBytes: dictionaryOf(2)},
		"no bytes":    {DictSHA256: msg.Some(hash)},
		"not trained": {DictSHA256: msg.Some("8d8c5ee54bbde2a5b2ccdcbbee57a6dbd1b8b2dbd2c4f8a2b6b5ae9ae79e9a37"), DictBytes: []byte{0x37, 0xa4, 0x30, 0xec, 1}},
	} {
		f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
			copied := resp
			copied.CorrelationID = req.Correlation()
			return &copied
		}))
		p := open(t, pool.Options{Address: f.address(), CompressLoopback: true})
		if err := details(ctx, p, 1); !errors.Is(err, pool.ErrConnect) || !errors.Is(err, pool.ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		if s := node(p); s.Slots != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A node that confirms a hash which is not at hand is asked for the bytes.
func TestLostDictionaryIsAskedForAgain(t *testing.T) {
	old, now := coderOf(t, 1), coderOf(t, 2)
	known := make(chan msg.Opt[string], 10)
	f := serve(t, func(p *peer) {
		switch p.number {
		case 0: // teaches the first dictionary
			introducing(old, known, each(func(p *peer, req msg.Request) msg.Response { return nil }))(p)
		case 1: // claims that the client knows another
			req := p.next()
			p.answer(req, &msg.IdentifyResponse{DictSHA256: msg.Some(now.SHA256())})
			p.drain()
		default:
			introducing(now, known, each(echo))(p)
		}
	})
	p := open(t, pool.Options{Address: f.address(), CompressLoopback: true})
	if err := details(ctx, p, 1); !errors.Is(err, pool.ErrConnectionLost) {
		t.Fatal(err)
	}
	if err := details(ctx, p, 2); err != nil {
		t.Fatal(err)
	}
	if first, third := <-known, <-known; first.Set || third.Set {
		t.Errorf("known: %v, then %v", first, third)
	}
}

// Ever new dictionaries neither fill the memory nor keep connections from being opened.
func TestDictionariesAreBounded(t *testing.T) {
	known := make(chan msg.Opt[string], 10)
	coders := make([]*wire.Coder, 6)
	for i := range coders {
		coders[i] = coderOf(t, byte(i))
	}
	f := serve(t, func(p *peer) {
		introducing(coders[p.number], known, each(func(p *peer, req msg.Request) msg.Response {
			p.refuse(req, msg.CodeIdentityRequired, "go away") // closes
			return nil
		}))(p)
	})
	p := open(t, pool.Options{Address: f.address(), CompressLoopback: true})
	for i := range coders {
		if err := details(ctx, p, 1); !errors.Is(err, msg.ErrUnauthorized) { // on a connection that was opened
			t.Errorf("dictionary %d: %v", i+1, err)
		}
	}
}

// Nothing is compressed where nothing carries it, unless it is asked for; behind
// TLS the Identify has another purpose.
func TestLoopbackIsNotCompressed(t *testing.T) {
	for _, c := range []struct {
		address string
		tunnel  bool
		want    bool // an Identify
	}{
		{"127.0.0.1:1", false, false},
		{"127.8.9.1:1", false, false},
		{"[::1]:1", false, false},
		{"[::ffff:127.0.0.1]:1", false, false},
		{"localhost:1", false, false},
		{"127.0.0.1:1", true, true},
		{"localhost:1", true, true},
		{"10.0.0.1:1", false, true},
		{"[fd00::1]:1", false, true},
		{"node:1", false, true},
		{"localhost.example:1", false, true},
	} {
		identified := false
		_, opts := serveMemory(t, func(p *peer) {
			for req := p.next(); req != nil; req = p.next() {
				if _, identify := req.(*msg.IdentifyRequest); identify {
					identified = true
				}
				p.answer(req, echo(p, req))
			}
		})
		opts.Address, opts.DisableCompression, opts.CompressLoopback = c.address, false, c.tunnel
		if err := details(ctx, open(t, opts), 1); err != nil || identified != c.want {
			t.Errorf("%+v: identified %v, %v", c, identified, err)
		}
	}
}
