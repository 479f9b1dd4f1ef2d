package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var written = []msg.Notification{{Key: key, Operation: msg.OpWrite, From: msg.Some[uint64](1), To: msg.Some[uint64](2)}}

// watched acknowledges a watch and goes on with what then does.
func watched(then func(*peer, *msg.WatchRequest)) func(*peer) {
	return func(p *peer) {
		req := p.next()
		watch, ok := req.(*msg.WatchRequest)
		if !ok {
			return
		}
		p.answer(req, &msg.WatchResponse{})
		then(p, watch)
		p.drain()
	}
}

func notify(p *peer, n ...msg.Notification) { p.answer(nil, &msg.WatchResponse{Notifications: n}) }

func openWatch(t *testing.T, p *pool.Pool) *pool.Watch {
	t.Helper()
	w, err := p.Watch(ctx, &msg.WatchRequest{Shard: msg.Some[uint64](0)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWatchDeliversFramesAndHeartbeats(t *testing.T) {
	f := serve(t, watched(func(p *peer, req *msg.WatchRequest) {
		if req.Shard != msg.Some[uint64](0) || !req.CorrelationID.Set {
			t.Errorf("asked for %+v", req)
		}
		notify(p, written...)
		notify(p)
		notify(p, written[0], written[0])
	}))
	opts := plain(f)
	opts.MaxConnections = 1
	p := open(t, opts)
	w := openWatch(t, p)
	for _, want := range [][]msg.Notification{written, nil, {written[0], written[0]}} {
		got, err := w.Next(ctx)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
	if s := node(p); s.Watches != 1 || s.Slots != 0 || w.Node() != f.address() {
		t.Errorf("%+v at %s", s, w.Node())
	}
	w.Close()
	w.Close()
	if _, err := w.Next(ctx); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if s := node(p); s.Watches != 0 {
		t.Errorf("%+v", s)
	}
}

// Watch must not return before the acknowledgement.
func TestWatchWaitsForItsAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := serveMemory(t, func(p *peer) {
			req := p.next()
			time.Sleep(time.Second)
			p.answer(req, &msg.WatchResponse{})
			p.drain()
		})
		p := open(t, opts)
		start := time.Now()
		openWatch(t, p)
		if took := time.Since(start); took != time.Second {
			t.Errorf("returned after %v", took)
		}
	})
}

func TestWatchWithoutAcknowledgementTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := serveMemory(t, (*peer).drain)
		p := open(t, opts)
		start := time.Now()
		_, err := p.Watch(ctx, &msg.WatchRequest{})
		if !errors.Is(err, pool.ErrRequestTimeout) || time.Since(start) != pool.DefaultRequestTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := p.Watch(short, &msg.WatchRequest{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// The context given to Watch bounds only the opening.
func TestWatchOutlivesItsOpeningContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := serveMemory(t, watched(func(p *peer, _ *msg.WatchRequest) {
			time.Sleep(5 * time.Second)
			notify(p, written...)
		}))
		p := open(t, opts)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		w, err := p.Watch(short, &msg.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.Next(ctx); err != nil || !slices.Equal(got, written) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestWatchLiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := serveMemory(t, watched(func(p *peer, _ *msg.WatchRequest) {
			for range 10 {
				time.Sleep(14 * time.Second)
				notify(p)
			}
		}))
		p := open(t, opts)
		w := openWatch(t, p)
		for range 10 {
			if _, err := w.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		_, err := w.Next(ctx)
		if !errors.Is(err, pool.ErrWatchSilent) || !msg.Timeout(err) || time.Since(start) != pool.DefaultWatchLiveness {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if _, again := w.Next(ctx); again != err {
			t.Errorf("then %v", again)
		}
		if s := node(p); s.Watches != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// The end of the context ends the watch: a frame may be half read.
func TestWatchEndsWithTheContextOfNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{}, 2)
		_, opts := serveMemory(t, func(p *peer) {
			watched(func(*peer, *msg.WatchRequest) {})(p)
			gone <- struct{}{}
		})
		p := open(t, opts)
		w := openWatch(t, p)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := w.Next(short); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pool.ErrWatchSilent) {
			t.Error(err)
		}
		<-gone
		if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		w = openWatch(t, p)
		if _, err := w.Next(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// The context ends when a frame is there: the frame counts, and it is the last.
func TestFrameBesideTheEndOfItsContext(t *testing.T) {
	more := make(chan struct{})
	f := serve(t, watched(func(p *peer, _ *msg.WatchRequest) {
		<-more
		notify(p, written...)
	}))
	var socket cancelling
	opts := plain(f)
	opts.Dial = wrapDial(func(nc net.Conn) net.Conn {
		socket.Conn = nc
		return &socket
	})
	p := open(t, opts)
	w := openWatch(t, p)
	var short context.Context
	short, socket.cancel = context.WithCancel(ctx)
	close(more)
	if frame, err := w.Next(short); err != nil || !slices.Equal(frame, written) {
		t.Errorf("%v, %v", frame, err)
	}
	if s := node(p); s.Watches != 0 {
		t.Errorf("the watch goes on: %+v", s)
	}
	if _, err := w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCloseWakesNext(t *testing.T) {
	for _, closing := range []struct {
		name string
		end  func(*pool.Pool, *pool.Watch) error
	}{
		{"watch", func(_ *pool.Pool, w *pool.Watch) error { return w.Close() }},
		{"pool", func(p *pool.Pool, _ *pool.Watch) error { return p.Close(ctx) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, opts := serveMemory(t, watched(func(*peer, *msg.WatchRequest) {}))
			p := open(t, opts)
			w := openWatch(t, p)
			result := make(chan error)
			go func() {
				_, err := w.Next(ctx)
				result <- err
			}()
			synctest.Wait()
			if _, err := w.Next(ctx); err == nil || errors.Is(err, pool.ErrClosed) {
				t.Errorf("a second Next beside the first: %v", err)
			}
			if err := closing.end(p, w); err != nil {
				t.Errorf("closing the %s: %v", closing.name, err)
			}
			if err := <-result; !errors.Is(err, pool.ErrClosed) {
				t.Errorf("closing the %s: %v", closing.name, err)
			}
		})
	}
}

// Close does not wait for a watch that is being opened.
func TestCloseEndsOpeningWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := serveMemory(t, (*peer).drain)
		opts.RequestTimeout = time.Hour
		p := open(t, opts)
		result := make(chan error)
		go func() {
			_, err := p.Watch(ctx, &msg.WatchRequest{})
			result <- err
		}()
		synctest.Wait()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-result; !errors.Is(err, pool.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*peer)
		want error
	}{
		"closed":        {func(p *peer) { p.Close() }, pool.ErrConnectionLost},
		"inside":        {func(p *peer) { p.Write(p.frame(nil, &msg.WatchResponse{Notifications: written})[:30]); p.Close() }, pool.ErrConnectionLost},
		"garbage":       {func(p *peer) { p.Write(make([]byte, 17)) }, pool.ErrProtocol},
		"another frame": {func(p *peer) { p.answer(nil, &msg.ReadResponse{}) }, pool.ErrProtocol},
		"busy": {func(p *peer) {
			p.answer(nil, &msg.ErrorResponse{Code: msg.CodeWatchSubscribers})
		}, msg.ErrBusy},
	} {
		f := serve(t, watched(func(p *peer, _ *msg.WatchRequest) { c.end(p) }))
		p := open(t, plain(f))
		w := openWatch(t, p)
		if _, err := w.Next(ctx); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if s := node(p); s.Watches != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestRefusedWatch(t *testing.T) {
	f := serve(t, each(func(*peer, msg.Request) msg.Response {
		return &msg.ErrorResponse{Code: msg.CodeRouting, Message: `{"detail":"x","num_shards":3}`}
	}))
	p := open(t, plain(f))
	_, err := p.Watch(ctx, &msg.WatchRequest{})
	var refusal *msg.ServerError
	if !errors.Is(err, msg.ErrRouting) || !errors.As(err, &refusal) || refusal.Fields.NumShards.Value != 3 {
		t.Error(err)
	}
	many := &msg.WatchRequest{}
	for n := range uint64(100) {
		many.Aggregates = append(many.Aggregates, msg.IDFromUint64(n))
	}
	if _, err := p.Watch(ctx, many); !errors.Is(err, pool.ErrTooLarge) {
		t.Error(err)
	}
}

// A frame that is not empty acknowledges as well, and is not lost.
func TestEagerNode(t *testing.T) {
	f := serve(t, func(p *peer) {
		p.next()
		notify(p, written...)
		notify(p)
		p.drain()
	})
	w := openWatch(t, open(t, plain(f)))
	for _, want := range [][]msg.Notification{written, nil} {
		if got, err := w.Next(ctx); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// Behind its request nothing is sent on a watch: the first byte would end it.
func TestWatchSendsNothingMore(t *testing.T) {
	f := serve(t, watched(func(p *peer, _ *msg.WatchRequest) {
		for range 3 {
			notify(p, written...)
		}
		if next := p.next(); next != nil {
			t.Errorf("%T on a watch", next)
		}
	}))
	p := open(t, plain(f))
	w := openWatch(t, p)
	for range 3 {
		if _, err := w.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

// A node that swallows what is dialled holds a watch up for a moment only.
func TestWatchPassesABlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "b:1")
		c.reply = func(_ string, req msg.Request) msg.Response {
			if _, ok := req.(*msg.WatchRequest); ok {
				return &msg.WatchResponse{}
			}
			return nil
		}
		opts := c.options("a:1", "b:1")
		opts.Dial = blackHole("a:1", opts.Dial)
		p := open(t, opts)
		start := time.Now()
		w := openWatch(t, p)
		if took := time.Since(start); took > 200*time.Millisecond || w.Node() != "b:1" {
			t.Errorf("after %v at %s", took, w.Node())
		}
	})
}

// A refusal that belongs to the watch names its number of shards, by which the
// pool corrects its own; failures are counted.
func TestRefusedWatchTeaches(t *testing.T) {
	type watcher interface {
		Watch(context.Context, *msg.WatchRequest) (*pool.Watch, error)
		Shards(context.Context) (uint64, error)
	}
	for name, begin := range map[string]func(*fake) (watcher, func() pool.Stats){
		"pool": func(f *fake) (watcher, func() pool.Stats) { p := open(t, plain(f)); return p, p.Stats },
		"view": func(f *fake) (watcher, func() pool.Stats) { p := open(t, plain(f)); return p.AtLeader(), p.Stats },
		"one connection": func(f *fake) (watcher, func() pool.Stats) {
			return connect(t, plain(f)), nil
		},
	} {
		var shards atomic.Int32
		shards.Store(4)
		f := serve(t, each(func(_ *peer, req msg.Request) msg.Response {
			code := msg.CodeRouting
			if req.RequestType() == msg.TypeWatchRequest {
				code = msg.CodeSeveralShards
			}
			return &msg.ErrorResponse{Code: code, Message: fmt.Sprintf(`{"num_shards":%d}`, shards.Load())}
		}))
		w, stats := begin(f)
		if n, err := w.Shards(ctx); n != 4 || err != nil {
			t.Fatalf("%s: %d, %v", name, n, err)
		}
		shards.Store(2)
		if _, err := w.Watch(ctx, &msg.WatchRequest{}); !errors.Is(err, msg.ErrRouting) {
			t.Errorf("%s: %v", name, err)
		}
		if n, err := w.Shards(ctx); n != 2 || err != nil {
			t.Errorf("%s: %d shards behind the refusal, %v", name, n, err)
		}
		if stats == nil {
			continue
		}
		if s := stats(); s.Requests != 3 || s.Failures != 3 || s.Nodes[0].Watches != 0 { // Shards counts what it is refused
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A hook that logs the end of a watch may ask the watch.
func TestWatchEndIsLoggedWithoutItsLock(t *testing.T) {
	for _, next := range []bool{false, true} {
		var w *pool.Watch
		said := 0
		opts := plain(serve(t, watched(func(p *peer, _ *msg.WatchRequest) { p.Close() })))
		opts.Logger = slog.New(logging(func(text string) {
			if text == "watch ended" {
				said++
				w.Close()
			}
		}))
		w = openWatch(t, open(t, opts))
		if next {
			if _, err := w.Next(ctx); !errors.Is(err, pool.ErrConnectionLost) {
				t.Error(err)
			}
		}
		w.Close()
		if said != 1 {
			t.Errorf("logged %d times", said)
		}
	}
}

// logging is a handler of what is logged.
type logging func(text string)

func (l logging) Enabled(context.Context, slog.Level) bool      { return true }
func (l logging) Handle(_ context.Context, r slog.Record) error { l(r.Message); return nil }
func (l logging) WithAttrs([]slog.Attr) slog.Handler            { return l }
func (l logging) WithGroup(string) slog.Handler                 { return l }
