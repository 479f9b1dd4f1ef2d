package pool_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// A batch that the node cannot send ends the reading with its version.
func TestReadAllNamesABatchTooLargeForTheNode(t *testing.T) {
	for _, at := range []uint64{1, 2, 300} {
		synctest.Test(t, func(t *testing.T) {
			n, err := celerianttest.Start(celerianttest.Options{InMemory: true, MaxResponseSize: 4096, Quirks: true})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			p := open(t, pool.Options{Address: "memory:1", Dial: n.DialContext})
			for v := range uint64(310) {
				size := 10
				if v+1 == at {
					size = 8000
				}
				if _, err := p.WriteEvents(ctx, key, events(1, make([]byte, size)), me, pool.WriteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			begin := time.Now()
			got, err := readAll(p, msg.ReadFilters{})
			var large *pool.BatchTooLargeError
			if !errors.As(err, &large) || large.Version != at || msg.SafeToRetry(err) || !errors.Is(err, pool.ErrRequestTimeout) {
				t.Errorf("got %d batches, %v", len(got), err)
			}
			if uint64(len(got)) != at-1 {
				t.Errorf("%d batches before version %d", len(got), at)
			}
			if took := time.Since(begin); took > 4*pool.DefaultRequestTimeout {
				t.Errorf("took %v", took)
			}
			if got, err := readAll(p, msg.ReadFilters{From: at + 1}); err != nil || uint64(len(got)) != 310-at {
				t.Errorf("behind it: %d, %v", len(got), err)
			}
		})
	}
}

// A node that is silent about everything has no batch to blame.
func TestReadAllDoesNotBlameABatchForASilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := serveMemory(t, (*peer).drain)
		_, err := readAll(open(t, opts), msg.ReadFilters{})
		var large *pool.BatchTooLargeError
		if errors.As(err, &large) || !errors.Is(err, pool.ErrRequestTimeout) {
			t.Error(err)
		}
	})
}

// Connections lost between and inside pages do not end a reading, and nothing
// is missing or repeated behind them.
func TestReadAllOutlivesConnections(t *testing.T) {
	for _, followers := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, "b:1", "a:1", "b:1")
			h := history{batches: batches(upTo(2000)...), pageCap: 50}
			requests := 0
			c.reply = func(_ string, req msg.Request) msg.Response {
				if !req.RequestType().Mutates() {
					if requests++; requests%3 == 0 {
						return hangUp
					}
					if resp := h.reply(nil, req); resp != nil {
						return resp
					}
				}
				return nil
			}
			opts := c.options("a:1", "b:1")
			opts.RouteReadsToFollowers = followers
			p := open(t, opts)
			got, err := readAll(p, msg.ReadFilters{})
			if err != nil || !slices.Equal(got, upTo(2000)) {
				t.Errorf("followers %v: %d versions, %v", followers, len(got), err)
			}
		})
	}
}

// With a lone node that restarts, a reading that has begun waits for it.
func TestReadAllWaitsForARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a:1", "a:1")
		h := history{batches: batches(upTo(600)...), pageCap: 50}
		c.reply = func(_ string, req msg.Request) msg.Response { return h.reply(nil, req) }
		p := open(t, c.options("a:1"))
		var got []uint64
		for b, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, b.Version); b.Version == 100 {
				c.set(func() { c.down["a:1"] = true; c.fakes["a:1"].cut() })
				time.AfterFunc(4*time.Second, func() { c.set(func() { c.down["a:1"] = false }) })
			}
		}
		if !slices.Equal(got, upTo(600)) {
			t.Errorf("%d versions", len(got))
		}
		c.set(func() { c.down["a:1"] = true; c.fakes["a:1"].cut() })
		begin := time.Now()
		if _, err := readAll(p, msg.ReadFilters{}); !errors.Is(err, pool.ErrConnect) || time.Since(begin) > time.Second {
			t.Errorf("one that has not begun: after %v: %v", time.Since(begin), err)
		}
	})
}

// A first page of smallPage bytes asks for smallWindow versions.
const smallPage, smallWindow = 4 << 10, 16

// The next page is on its way while the consumer works, one and no more; who
// stops early leaves nothing behind.
func TestReadAllFetchesAhead(t *testing.T) {
	var mu sync.Mutex
	h := history{batches: batches(upTo(600)...)}
	reads := 0
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		mu.Lock()
		defer mu.Unlock()
		if req.RequestType() == msg.TypeReadRequest {
			reads++
		}
		return h.reply(p, req)
	}))
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return reads
	}
	opts := plain(f)
	opts.PageBytes = smallPage
	p := open(t, opts)
	for b, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
		if err != nil {
			t.Fatal(err)
		}
		if b.Version <= smallWindow && count() != 1 {
			t.Error("more than the first page is read for whoever wants just that")
		}
		if b.Version == smallWindow+1 {
			until(t, "the third page is fetched", func() bool { return count() == 3 })
			until(t, "its connection is free", func() bool { s := node(p); return s.Idle == s.Open })
			if count() != 3 {
				t.Errorf("%d pages are read", count())
			}
			break
		}
	}
}

// Batches written while a reading goes on are never skipped over.
func TestReadAllSkipsNothingWrittenMeanwhile(t *testing.T) {
	for _, filters := range []msg.ReadFilters{
		{From: 5}, {From: 5, To: msg.Some[uint64](5000)}, {}, {To: msg.Some[uint64](5000)}, {From: 1, To: msg.Some[uint64](30)},
	} {
		var mu sync.Mutex
		h := history{batches: batches(upTo(20)...)}
		f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
			mu.Lock()
			defer mu.Unlock()
			resp := h.reply(p, req)
			last := h.batches[len(h.batches)-1].Version
			for v := last + 1; v <= last+1100; v++ { // right behind every answer
				h.batches = append(h.batches, batch(v))
			}
			return resp
		}))
		got, err := readAll(open(t, plain(f)), filters)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if want := uint64(i) + max(filters.From, 1); v != want {
				t.Fatalf("version %d in place of %d", v, want)
			}
		}
		if len(got) < 16 {
			t.Errorf("only %d versions", len(got))
		}
	}
}

// The consumer owns what it gets and may change it.
func TestReadAllBatchesMayBeChanged(t *testing.T) {
	h := history{batches: batches(upTo(600)...), pageCap: 50}
	f := serve(t, each(h.reply))
	n := 0
	for b, err := range open(t, plain(f)).ReadAll(ctx, key, msg.ReadFilters{}) {
		if err != nil {
			t.Fatal(err)
		}
		b.Events[0].Value[0], b.Events[0].EventSeq = 0, 0
		n++
	}
	if n != 600 {
		t.Errorf("%d batches", n)
	}
}

// A caller that stops early does not wait for the page on its way.
func TestReadAllCallsOffThePageAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := history{batches: batches(upTo(600)...)}
		reads, stalled := 0, make(chan struct{})
		_, opts := serveMemory(t, func(p *peer) {
			for req := p.next(); req != nil; req = p.next() {
				if req.RequestType() == msg.TypeReadRequest {
					if reads++; reads == 3 {
						close(stalled)
						p.drain()
						return
					}
				}
				p.answer(req, h.reply(p, req))
			}
		})
		opts.PageBytes = smallPage
		p := open(t, opts)
		begin := time.Now()
		for b, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			if b.Version == smallWindow+1 {
				<-stalled
				break
			}
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("it took %v to stop", took)
		}
	})
}

// A batch that takes its time is a slow one, not one that cannot be sent: it is said to be
// too large only when the read of that one version was left unanswered for longer than
// others may take, while the node answers another question.
func TestSlowBatchIsNotTooLarge(t *testing.T) {
	for name, c := range map[string]struct {
		takes    time.Duration // the answer to a read
		details  bool          // answered
		tooLarge bool
		fails    bool
	}{
		"slow":            {3 * time.Second, true, false, false},
		"never answered":  {time.Hour, true, true, true},
		"all unanswered":  {time.Hour, false, false, true},
		"as fast as ever": {0, true, false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, opts := serveMemory(t, each(func(p *peer, req msg.Request) msg.Response {
				switch r := req.(type) {
				case *msg.ReadRequest:
					time.Sleep(c.takes)
					if r.Filters.From > 1 {
						return &msg.ReadResponse{}
					}
					return &msg.ReadResponse{Batches: batches(1)}
				case *msg.DetailsRequest:
					if !c.details {
						time.Sleep(time.Hour)
					}
					return &msg.DetailsResponse{MaxVersion: 1}
				}
				return echo(p, req)
			}))
			got, err := readAll(open(t, opts), msg.ReadFilters{})
			var large *pool.BatchTooLargeError
			if errors.As(err, &large) != c.tooLarge || (err != nil) != c.fails || c.fails && !errors.Is(err, pool.ErrRequestTimeout) {
				t.Errorf("%s: %d batches, %v", name, len(got), err)
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

// A caller that leaves a reading early leaves a healthy connection behind.
func TestLeavingReadAllKeepsTheConnection(t *testing.T) {
	n := celerianttest.Run(t, celerianttest.Options{})
	p := open(t, pool.Options{Address: n.Addr(), PageBytes: 4096})
	for range 200 {
		if _, err := p.WriteEvents(ctx, key, events(1, make([]byte, 1000)), me, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		seen := 0
		for _, err := range p.ReadAll(ctx, key, msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 50 {
				break
			}
		}
	}
	until(t, "the pages under way have come", func() bool { s := node(p); return s.Idle == s.Open })
	if s := node(p); s.Discarded != 0 {
		t.Errorf("%+v", s)
	}
}
