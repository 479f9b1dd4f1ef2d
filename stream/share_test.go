package stream_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// scripted is a source whose answers a test gives.
type scripted struct {
	reads   chan *scriptedRead
	watches chan *scriptedWatch
}

type scriptedRead struct {
	ctx    context.Context
	node   string
	req    *msg.ReadRequest
	answer chan error
}

type scriptedWatch struct {
	frames chan []msg.Notification
	lose   chan error
	closed atomic.Bool
}

func newScripted() *scripted {
	return &scripted{reads: make(chan *scriptedRead, 100), watches: make(chan *scriptedWatch, 100)}
}

func (s *scripted) Shards(context.Context) (uint64, error) { return 1, nil }
func (s *scripted) Leader(context.Context) (string, error) { return "leader", nil }
func (s *scripted) Leads(_ context.Context, node string) (pool.Leadership, error) {
	if node == "leader" {
		return pool.Leading, nil
	}
	return pool.Following, nil
}

func (s *scripted) ListAggregatesPage(context.Context, string, *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	return &msg.ListAggregatesResponse{}, nil
}

func (s *scripted) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	r := &scriptedRead{ctx, node, req, make(chan error, 1)}
	s.reads <- r
	select {
	case err := <-r.answer:
		return &msg.ReadResponse{Batches: []msg.Batch{{Version: req.Filters.From}}}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *scripted) Watch(ctx context.Context, _ bool, _ *msg.WatchRequest) (stream.Watch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &scriptedWatch{frames: make(chan []msg.Notification), lose: make(chan error, 1)}
	s.watches <- w
	return w, nil
}

func (w *scriptedWatch) Next(ctx context.Context) ([]msg.Notification, error) {
	select {
	case frame := <-w.frames:
		return frame, nil
	case err := <-w.lose:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *scriptedWatch) Close() error { w.closed.Store(true); return nil }
func (w *scriptedWatch) Node() string { return "leader" }

// answered is the outcome of a Read under way.
type answered struct {
	page *msg.ReadResponse
	err  error
}

func ask(ctx context.Context, s stream.Source, node string, req *msg.ReadRequest) chan answered {
	c := make(chan answered, 1)
	go func() {
		page, err := s.Read(ctx, node, req)
		c <- answered{page, err}
	}()
	synctest.Wait()
	return c
}

func readOf(n int, from uint64) *msg.ReadRequest {
	return &msg.ReadRequest{Key: keyOf(n), Filters: msg.ReadFilters{From: from, To: msg.Some(from + 5)}}
}

func shareOf(t *testing.T, src stream.Source) *stream.Shared {
	s := stream.Share(src)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// inShared runs a test on a shared scripted source, in virtual time.
func inShared(t *testing.T, test func(t *testing.T, src *scripted, s *stream.Shared)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		src := newScripted()
		test(t, src, shareOf(t, src))
	})
}

// A read is sent once for all subscribers that ask while it is under way. When the
// subscriber that made it gives up, one of the others reads.
func TestSharedReadEndsWithWhoReads(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
		ctx, cancel := context.WithCancel(t.Context())
		first := ask(ctx, s, "n", readOf(1, 1))
		second := ask(t.Context(), s, "n", readOf(1, 1))
		cancel()
		if a := <-first; !errors.Is(a.err, context.Canceled) {
			t.Errorf("the first ended with %v", a.err)
		}
		<-(<-src.reads).ctx.Done()
		synctest.Wait() // the second reads
		ctx, cancel = context.WithCancel(t.Context())
		joined := ask(ctx, s, "n", readOf(1, 1))
		cancel()
		if a := <-joined; !errors.Is(a.err, context.Canceled) {
			t.Errorf("one that joined the second ended with %v", a.err)
		}
		(<-src.reads).answer <- nil
		if a := <-second; a.err != nil || len(a.page.Batches) != 1 {
			t.Errorf("the second got %+v", a)
		}
		third := ask(t.Context(), s, "n", readOf(1, 1))
		if a := <-third; a.err != nil || len(src.reads) != 0 {
			t.Errorf("the third got %+v of a read of its own", a)
		}
		stats := s.Stats()
		if stats.Asked != 4 || stats.Sent != 2 || stats.Joined != 2 || stats.Kept != 1 || stats.KeptBytes == 0 {
			t.Errorf("%+v", stats)
		}
		time.Sleep(time.Second)
		if n := s.Stats().KeptBytes; n != 0 {
			t.Errorf("%d bytes are kept at rest", n)
		}

		// A read nobody waits for any more tells nobody anything.
		again := ask(t.Context(), s, "n", readOf(1, 1))
		(<-src.reads).answer <- nil
		<-again
		ctx, cancel = context.WithCancel(t.Context())
		gone := ask(ctx, s, "n", readOf(1, 3))
		cancel()
		<-gone
		<-(<-src.reads).ctx.Done()
		synctest.Wait()
		if <-ask(t.Context(), s, "n", readOf(1, 1)); len(src.reads) != 0 {
			t.Error("what was at hand is gone")
		}

		ctx, cancel = context.WithCancel(t.Context())
		a, b := ask(ctx, s, "n", readOf(2, 1)), ask(ctx, s, "n", readOf(2, 1))
		read := <-src.reads
		cancel()
		<-a
		<-b
		<-read.ctx.Done()
		ask(t.Context(), s, "n", readOf(2, 1))
		if len(src.reads) != 1 {
			t.Error("a read that was given up was joined")
		}
		(<-src.reads).answer <- nil
	})
}

// An error is for those who waited for it.
func TestSharedErrorsAreNotKept(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
		broken := errors.New("broken")
		a, b := ask(t.Context(), s, "n", readOf(1, 1)), ask(t.Context(), s, "n", readOf(1, 1))
		(<-src.reads).answer <- broken
		if a, b := <-a, <-b; a.err != broken || b.err != broken {
			t.Errorf("they got %v and %v", a.err, b.err)
		}
		c := ask(t.Context(), s, "n", readOf(1, 1))
		(<-src.reads).answer <- nil
		if c := <-c; c.err != nil {
			t.Error(c.err)
		}
	})
}

// After anything that may have told a subscriber of something newer, its next read
// is sent to the node.
func TestSharedReadsAreNoOlderThanWhatIsKnown(t *testing.T) {
	scope := &msg.WatchRequest{Shard: msg.Some(uint64(0)), Types: []msg.ID{typ}}
	alone := &msg.WatchRequest{Shard: msg.Some(uint64(0)), Operations: []msg.Operation{msg.OpWrite}}
	filtered := readOf(1, 1)
	filtered.Filters.MinEventSeq = msg.Some(uint64(1))
	told := []msg.Notification{{Key: keyOf(1), Operation: msg.OpWrite}}
	for _, c := range []struct {
		name   string
		new    bool
		before func(t *testing.T, src *scripted, s *stream.Shared) (happens func())
	}{
		{"nothing", false, func(*testing.T, *scripted, *stream.Shared) func() { return func() {} }},
		{"a list", true, func(t *testing.T, _ *scripted, s *stream.Shared) func() {
			return func() { _, _ = s.ListAggregatesPage(t.Context(), "n", &msg.ListAggregatesRequest{}) }
		}},
		{"a read with filters", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			return func() {
				a, b := ask(t.Context(), s, "n", filtered), ask(t.Context(), s, "n", filtered)
				for range 2 {
					(<-src.reads).answer <- nil
				}
				<-a
				<-b
			}
		}},
		{"a watch", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			return func() { openShared(t, s, scope) }
		}},
		{"a notification", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			openShared(t, s, scope)
			w := <-src.watches
			return func() { w.frames <- told }
		}},
		{"a heartbeat", false, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			openShared(t, s, scope)
			w := <-src.watches
			return func() { w.frames <- nil }
		}},
		{"a lost watch", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			openShared(t, s, scope)
			w := <-src.watches
			return func() { w.lose <- errors.New("lost") }
		}},
		{"a watch of its own", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			return func() { openShared(t, s, alone) }
		}},
		{"a notification on a watch of its own", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			own := openShared(t, s, alone)
			w := <-src.watches
			return func() {
				go func() { w.frames <- told }()
				if frame, err := own.Next(t.Context()); err != nil || len(frame) != 1 {
					t.Error(frame, err)
				}
			}
		}},
		{"the end of a watch of its own", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			own := openShared(t, s, alone)
			w := <-src.watches
			return func() {
				w.lose <- errors.New("lost")
				if frame, err := own.Next(t.Context()); err == nil {
					t.Error(frame)
				}
			}
		}},
		{"another leader", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			return func() { _, _ = s.Leader(t.Context()) }
		}},
		{"word of the leader", true, func(t *testing.T, src *scripted, s *stream.Shared) func() {
			_, _ = s.Leader(t.Context())
			return func() { _, _ = s.Leads(t.Context(), "leader") }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
				happens := c.before(t, src, s)
				under := ask(t.Context(), s, "leader", readOf(1, 1))
				read := <-src.reads
				happens()
				synctest.Wait()
				later := ask(t.Context(), s, "leader", readOf(1, 1))
				if sent := len(src.reads) == 1; sent != c.new {
					t.Errorf("a read of its own: %v", sent)
				}
				read.answer <- nil
				<-under
				if c.new {
					(<-src.reads).answer <- nil
				}
				if a := <-later; a.err != nil {
					t.Error(a.err)
				}
			})
		})
	}
}

func openShared(t *testing.T, s *stream.Shared, req *msg.WatchRequest) stream.Watch {
	t.Helper()
	w, err := s.Watch(t.Context(), false, req)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A watch ends for one with its context or Close, for all with the connection or
// the share; each way Next says why, and says it again.
func TestSharedWatchEnds(t *testing.T) {
	scope := &msg.WatchRequest{Shard: msg.Some(uint64(0)), Types: []msg.ID{typ}}
	lost := errors.New("lost")
	inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
		a, b, c := openShared(t, s, scope), openShared(t, s, scope), openShared(t, s, scope)
		up := <-src.watches
		ctx, cancel := context.WithCancelCause(t.Context())
		ends := make(chan error)
		go func() { _, err := a.Next(ctx); ends <- err }()
		enough := errors.New("enough")
		cancel(enough)
		if err := <-ends; !errors.Is(err, enough) {
			t.Errorf("the first ended with %v", err)
		}
		if _, err := a.Next(t.Context()); !errors.Is(err, enough) {
			t.Errorf("then with %v", err)
		}
		go func() { _, err := b.Next(t.Context()); ends <- err }()
		synctest.Wait()
		_, _ = b.Close(), b.Close()
		if err := <-ends; err == nil || b.Node() != "leader" {
			t.Errorf("the second ended with %v", err)
		}
		go func() { _, err := c.Next(t.Context()); ends <- err }()
		up.lose <- lost
		if err := <-ends; err != lost {
			t.Errorf("the third ended with %v", err)
		}
		synctest.Wait()
		if !up.closed.Load() {
			t.Error("the connection is open")
		}
		d := openShared(t, s, scope)
		go func() { _, err := d.Next(t.Context()); ends <- err }()
		read := ask(t.Context(), s, "n", readOf(1, 1))
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-ends; err != stream.ErrShareClosed || !errors.Is(err, pool.ErrClosed) {
			t.Errorf("the last ended with %v", err)
		}
		if a := <-read; a.err != stream.ErrShareClosed {
			t.Errorf("the read ended with %v", a.err)
		}
		if _, err := s.Watch(t.Context(), false, scope); err != stream.ErrShareClosed {
			t.Errorf("a watch of what is closed: %v", err)
		}
		if _, err := s.Read(t.Context(), "n", readOf(1, 1)); err != stream.ErrShareClosed {
			t.Errorf("a read of what is closed: %v", err)
		}
	})
}

// A subscriber that gives up waiting for a connection leaves it to the others; an
// unused connection is closed after a second.
func TestSharedOpeningOutlivesWhoAskedFirst(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, _ *stream.Shared) {
		slow := &slowToOpen{scripted: src, open: make(chan struct{})}
		s := shareOf(t, slow)
		if s.Unwrap() != stream.Source(slow) {
			t.Error("unwraps something else")
		}
		scope := &msg.WatchRequest{Shard: msg.Some(uint64(0))}
		ctx, cancel := context.WithCancel(t.Context())
		ends := make(chan error)
		go func() { _, err := s.Watch(ctx, false, scope); ends <- err }()
		synctest.Wait()
		var w stream.Watch
		go func() { var err error; w, err = s.Watch(t.Context(), false, scope); ends <- err }()
		synctest.Wait()
		cancel()
		if err := <-ends; !errors.Is(err, context.Canceled) {
			t.Errorf("the first ended with %v", err)
		}
		close(slow.open)
		if err := <-ends; err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		time.Sleep(999 * time.Millisecond)
		if s.Stats().Upstreams != 1 {
			t.Error("closed at once")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if up := <-src.watches; s.Stats().Upstreams != 0 || !up.closed.Load() {
			t.Error("nobody watches and the connection is open")
		}
	})
}

type slowToOpen struct {
	*scripted
	open chan struct{}
}

func (s *slowToOpen) Watch(ctx context.Context, follower bool, req *msg.WatchRequest) (stream.Watch, error) {
	<-s.open
	return s.scripted.Watch(ctx, follower, req)
}

// Frames given to a subscriber stay as they are while more come in.
func TestSharedFramesAreLent(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
		w := openShared(t, s, &msg.WatchRequest{Shard: msg.Some(uint64(0))})
		up := <-src.watches
		send := func(version uint64) {
			frame := []msg.Notification{{Key: keyOf(1), Operation: msg.OpWrite, From: msg.Some(version), To: msg.Some(version)}}
			up.frames <- frame
			synctest.Wait()
			frame[0] = msg.Notification{} // the next frame overwrites it
		}
		send(3)
		send(4)
		got, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		send(5)
		if len(got) != 1 || got[0].From.Value != 3 || got[0].To.Value != 4 {
			t.Errorf("got %+v", got)
		}
		if got, err = w.Next(t.Context()); err != nil || len(got) != 1 || got[0].From.Value != 5 {
			t.Errorf("then %+v, %v", got, err)
		}
	})
}

// One that never takes its frames is out after 10,000; its neighbour has them all.
func TestSharedWatchThatIsNeverRead(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
		req := &msg.WatchRequest{Shard: msg.Some(uint64(0))}
		idle, busy := openShared(t, s, req), openShared(t, s, req)
		up := <-src.watches
		var heard atomic.Int64
		go func() {
			for {
				frame, err := busy.Next(t.Context())
				if err != nil {
					return
				}
				heard.Add(int64(len(frame)))
			}
		}()
		for n := range 10_001 {
			up.frames <- []msg.Notification{{Key: keyOf(n), Operation: msg.OpCreate}}
		}
		synctest.Wait()
		if _, err := idle.Next(t.Context()); !errors.Is(err, stream.ErrLagging) {
			t.Errorf("the idle one ended with %v", err)
		}
		if n := heard.Load(); n != 10_001 {
			t.Errorf("the busy one heard %d", n)
		}
		if stats := s.Stats(); stats.Lagged != 1 || stats.Subscribers != 1 || stats.Upstreams != 1 {
			t.Errorf("%+v", stats)
		}
		if again := openShared(t, s, req); again.Node() != "leader" || !slices.Contains([]int{2}, s.Stats().Subscribers) {
			t.Error("it cannot come back")
		}
	})
}

// Time goes on after the timer has fired: each connection nobody uses is closed.
func TestSharedTimerIsSetAgain(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
		for n := range 3 {
			_ = openShared(t, s, &msg.WatchRequest{Shard: msg.Some(uint64(0))}).Close()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if up := <-src.watches; s.Stats().Upstreams != 0 || !up.closed.Load() {
				t.Errorf("connection %d is open", n+1)
			}
		}
	})
}

// halting is a node that stops early, at what lies beyond every range.
type halting struct{ *scripted }

func (h halting) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	page, err := h.scripted.Read(ctx, node, req)
	if err == nil {
		page.NextVersion = msg.Some(uint64(100))
	}
	return page, err
}

// A longer read that stopped early is no answer to a shorter one, which is sent
// as it was asked for.
func TestSharedReadThatStoppedEarly(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, _ *stream.Shared) {
		s := shareOf(t, halting{src})
		short := readOf(1, 1)
		short.Filters.To = msg.Some(uint64(4))
		a, b := ask(t.Context(), s, "n", readOf(1, 1)), ask(t.Context(), s, "n", short)
		(<-src.reads).answer <- nil
		<-a
		synctest.Wait()
		if len(src.reads) != 1 {
			t.Fatalf("%d reads of its own", len(src.reads))
		}
		own := <-src.reads
		own.answer <- nil
		if b := <-b; b.err != nil || own.req.Filters.To != short.Filters.To {
			t.Errorf("asked for %+v, got %+v", own.req.Filters, b)
		}
		ask(t.Context(), s, "n", short) // may see more than the last one
		if len(src.reads) != 1 {
			t.Fatal("what stopped early was kept")
		}
		(<-src.reads).answer <- nil
	})
}

// Reads at a presumed leader that has not said that it leads are not shared; a
// subscriber whose context has ended reads nothing.
func TestSharedReadAtTheUnproven(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
		enough := errors.New("enough")
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(enough)
		if a := <-ask(ended, s, "n", readOf(1, 1)); a.err != enough || len(src.reads) != 0 {
			t.Errorf("one that has left got %+v of %d reads", a, len(src.reads))
		}
		for _, want := range []int{2, 1} {
			if _, err := s.Leader(t.Context()); err != nil {
				t.Fatal(err)
			}
			a, b := ask(t.Context(), s, "leader", readOf(1, 1)), ask(t.Context(), s, "leader", readOf(1, 1))
			if n := len(src.reads); n != want {
				t.Fatalf("%d reads are sent, want %d", n, want)
			}
			for range want {
				(<-src.reads).answer <- nil
			}
			<-a
			<-b
			if _, err := s.Leads(t.Context(), "leader"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Somebody who doubts a page is answered by the node, and nobody is given that page
// afterwards.
func TestSharedFreshReadReachesTheNode(t *testing.T) {
	inShared(t, func(t *testing.T, src *scripted, s *stream.Shared) {
		first := ask(t.Context(), s, "n", readOf(1, 1))
		(<-src.reads).answer <- nil
		<-first
		if a := <-ask(t.Context(), s, "n", readOf(1, 1)); a.err != nil || len(src.reads) != 0 {
			t.Fatalf("the page is not shared: %v", a.err)
		}
		fresh := make(chan error, 1)
		go func() {
			_, err := s.ReadFresh(t.Context(), "n", readOf(1, 1))
			fresh <- err
		}()
		synctest.Wait()
		if len(src.reads) != 1 {
			t.Fatal("a doubt is answered with the page that is doubted")
		}
		(<-src.reads).answer <- nil
		if err := <-fresh; err != nil {
			t.Error(err)
		}
		ask(t.Context(), s, "n", readOf(1, 1))
		synctest.Wait()
		if len(src.reads) != 1 {
			t.Error("the page that was doubted is shared")
		}
		(<-src.reads).answer <- nil
	})
}
