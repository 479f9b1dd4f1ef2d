package stream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// stage is a source of one empty shard, whose watches a test loses.
type stage struct {
	Source
	watches chan *staged
	noWord  atomic.Bool // nobody says whether it leads
	written atomic.Int64
}

// staged is one watch of it, and the context it was opened with.
type staged struct {
	ctx    context.Context
	lose   chan error
	hints  chan []msg.Notification
	closed bool
}

func (s *stage) Shards(context.Context) (uint64, error) { return 1, nil }
func (s *stage) Leader(context.Context) (string, error) { return "n", nil }
func (s *stage) Leads(context.Context, string) (pool.Leadership, error) {
	if s.noWord.Load() {
		return pool.LeadershipUnknown, errEnough
	}
	return pool.Leading, nil
}

func (s *stage) ListAggregatesPage(context.Context, string, *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	return &msg.ListAggregatesResponse{}, nil
}

func (s *stage) Read(_ context.Context, _ string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	return &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, ServerTimestamp: uint64(s.written.Load()), Events: []msg.Event{{EventSeq: 1, Major: 1}}}}}, nil
}

func (s *stage) Watch(ctx context.Context, _ bool, _ *msg.WatchRequest) (Watch, error) {
	w := &staged{ctx: ctx, lose: make(chan error, 1), hints: make(chan []msg.Notification, 1)}
	s.watches <- w
	return w, nil
}

func (w *staged) Next(ctx context.Context) ([]msg.Notification, error) {
	select {
	case err := <-w.lose:
		return nil, err
	case frame := <-w.hints:
		return frame, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(5 * time.Second):
		return nil, nil
	}
}

func (w *staged) Close() error { w.closed = true; return nil }
func (w *staged) Node() string { return "n" }

// onStage runs a test with a subscription that is live, in virtual time.
func onStage(t *testing.T, o Options, test func(t *testing.T, src *stage, s *Subscription)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		src := &stage{watches: make(chan *staged, 10)}
		s, err := Open(t.Context(), src, Everything(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close(context.Background()) }()
		if c, err := s.Next(t.Context()); err != nil || c[0].Kind != CaughtUp {
			t.Fatal(c, err)
		}
		synctest.Wait()
		test(t, src, s)
	})
}

// A watch that is lost is let go of, and another one is opened as soon as the
// backoff ends, although the timer was set to what is due much later.
func TestLostWatch(t *testing.T) {
	var last atomic.Uint32
	told := func() Phase { return Phase(last.Load()) }
	o := Options{Probe: -1, Reconcile: -1, OnState: func(s State) { last.Store(uint32(s.Phase)) }}
	onStage(t, o, func(t *testing.T, src *stage, s *Subscription) {
		first := <-src.watches
		first.lose <- errors.New("lost")
		synctest.Wait()
		if told() != Reconnecting {
			t.Errorf("told of %v", told())
		}
		if first.ctx.Err() == nil || !first.closed {
			t.Errorf("its context ended with %v, closed: %v", first.ctx.Err(), first.closed)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(src.watches) != 1 || len(s.executor.watches) != 1 || told() != Live {
			t.Errorf("%d watches opened again, %d known, %v", len(src.watches), len(s.executor.watches), told())
		}
	})
}

// States are told one at a time and in order, however long the observer takes; it
// has been told of the end when the subscription is done, which leaves no timer.
func TestStatesAreToldInOrder(t *testing.T) {
	var gate chan struct{} // of the test's own time
	telling := 0
	var told []Phase
	o := Options{OnState: func(s State) {
		if telling++; telling > 1 {
			t.Error("told of two states at a time")
		}
		if s.Phase == Reconnecting {
			<-gate
		}
		told = append(told, s.Phase)
		telling--
	}}
	onStage(t, o, func(t *testing.T, _ *stage, s *Subscription) {
		gate = make(chan struct{})
		s.announce(State{Phase: Reconnecting})
		s.announce(State{Phase: Live})
		synctest.Wait()
		s.Fail(nil)
		synctest.Wait()
		if s.State().Phase != Closed || s.Err() != ErrClosed {
			t.Errorf("it is %v, ended with %v", s.State(), s.Err())
		}
		select {
		case <-s.Done():
			t.Error("done before all is told")
		default:
		}
		close(gate)
		<-s.Done()
		if last := told[len(told)-1]; last != Closed || told[len(told)-2] != Live {
			t.Errorf("told of %v", told)
		}
		if s.timer.Stop() {
			t.Error("the timer is set after the end")
		}
	})
}

// Batches read ahead are dropped when the consumer fails.
func TestFailDropsWhatWaits(t *testing.T) {
	onStage(t, Options{}, func(t *testing.T, _ *stage, s *Subscription) {
		broken := errors.New("broken")
		s.box.put(batches(1), 0)
		s.Fail(broken)
		if c, err := s.Next(t.Context()); err != broken {
			t.Errorf("then came %v, %v", c, err)
		}
	})
}

// A node that does not say whether it leads is watched on: that is no word
// against it.
func TestNoWordIsNoVerdict(t *testing.T) {
	onStage(t, Options{Reconcile: -1}, func(t *testing.T, src *stage, s *Subscription) {
		src.noWord.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(src.watches) != 1 || s.State().Phase != Live || s.Stats().Moves != 0 {
			t.Errorf("%d watches were opened; %+v", len(src.watches), s.Stats())
		}
	})
}
