package operators_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// leasedSource opens members of a subscription with leases.
type leasedSource struct{ *world }

func (s leasedSource) Open(ctx context.Context) (stream.Consumer, error) {
	return stream.Open(ctx, stream.FromPool(s.pool), stream.Types(org, typ),
		stream.Options{Name: "test", Store: s.store, Ownership: stream.Leased, Partitions: 1})
}

// A partition that a change has stopped is not gone on with, although its lease is
// given up only later: what follows the change in its aggregate is never handled.
func TestNothingFollowsAStopUnderItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		h := &handling{fail: func(c stream.Change) error {
			if c.Kind == stream.Batch && c.Batch.Version == 1 {
				return errPoison
			}
			return nil
		}}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- operators.ForEach(ctx, leasedSource{w}, h.handle,
				operators.WithVerdicts(func(operators.Failure) operators.Verdict { return operators.Stop }))
		}()
		for range 20 {
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			w.write(1, "b")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel(errStop)
		<-ended
		if got := h.of(1); len(got) != 0 {
			t.Errorf("handled %v behind the change that stopped the partition", got)
		}
		if v := w.version(1); v != 0 {
			t.Errorf("stored version %d: what stopped the partition is lost", v)
		}
	})
}

// stopped is a consumer of a process that was stopped beyond its lease once told so.
type stopped struct {
	*stream.Subscription
	beyond *atomic.Bool
}

func (s stopped) Owns(c *stream.Change) bool { return !s.beyond.Load() && s.Subscription.Owns(c) }

type stoppedSource struct {
	leasedSource
	beyond atomic.Bool
}

func (s *stoppedSource) Open(ctx context.Context) (stream.Consumer, error) {
	sub, err := s.leasedSource.Open(ctx)
	if err != nil {
		return nil, err
	}
	return stopped{sub.(*stream.Subscription), &s.beyond}, nil
}

// A handler asks the clocks before it begins: of changes that were pulled before the process
// was stopped for longer than its lease, none is handled afterwards.
func TestNoHandlerBeginsUnderALeaseThatRanOut(t *testing.T) {
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, checkpoint.NewMemory())
			for key := range uint64(20) {
				w.write(key+1, "a")
			}
			source := &stoppedSource{leasedSource: leasedSource{w}}
			var after atomic.Int32
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- operators.ForEach(ctx, source, func(_ context.Context, c stream.Change) error {
					switch {
					case c.Kind != stream.Batch:
					case source.beyond.Load():
						after.Add(1)
					default:
						time.Sleep(time.Second) // others wait in the schedule meanwhile
						source.beyond.Store(true)
					}
					return nil
				}, operators.WithWorkers(workers))
			}()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if !source.beyond.Load() {
				t.Error("no change was handled at all")
			}
			if n := after.Load(); n != 0 {
				t.Errorf("%d workers: %d handlers began although the lease had run out", workers, n)
			}
			cancel(errStop)
			<-ended
		})
	}
}

// lossy is a store that applies a parking and reports a failure.
type lossy struct {
	*checkpoint.Memory
	lost atomic.Bool
}

var errAnswer = errors.New("connection lost")

func (l *lossy) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if err := l.Memory.Apply(ctx, name, m); err != nil || m.Limit == nil || l.lost.Swap(true) {
		return err
	}
	return errAnswer
}

// A parking whose answer is lost is taken for what it is, and holds nothing else up.
func TestAParkingWhoseAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lossy{Memory: checkpoint.NewMemory()}
		w := newWorld(t, store)
		w.write(1, "a")
		h := &handling{fail: func(c stream.Change) error {
			if c.Kind == stream.Batch && c.Key == keyOf(1) {
				return errPoison
			}
			return nil
		}}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- operators.ForEach(ctx, w, h.handle,
				operators.WithVerdicts(func(operators.Failure) operators.Verdict { return operators.Park }))
		}()
		time.Sleep(time.Second)
		w.write(2, "b")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !store.lost.Load() {
			t.Error("no answer was lost")
		}
		if parked := w.parked(store); len(parked) != 1 {
			t.Errorf("parked %+v", parked)
		}
		if v := w.version(2); v != 1 {
			t.Errorf("stored version %d of another aggregate", v)
		}
		cancel(errStop)
		<-ended
	})
}

// scripted is a consumer that delivers what a test says.
type scripted struct {
	stream.Consumer
	next chan []stream.Change
}

func (s *scripted) Next(ctx context.Context) ([]stream.Change, error) {
	for {
		select {
		case c := <-s.next:
			return c, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.Done():
			return nil, s.Err()
		}
	}
}

type scriptedSource struct {
	*world
	next chan []stream.Change
}

func (s scriptedSource) Open(ctx context.Context) (stream.Consumer, error) {
	c, err := s.world.Open(ctx)
	return &scripted{Consumer: c, next: s.next}, err
}

// slowFence is a store that answers a save under the first claim late, with a refusal.
type slowFence struct {
	*checkpoint.Memory
	first  checkpoint.Owner
	saving chan struct{}
	refuse chan struct{}
}

func (f *slowFence) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if len(m.Owners) == 1 && m.Owners[0].Leased {
		if m.Owners[0] == f.first {
			f.saving <- struct{}{}
			<-f.refuse
			return &checkpoint.FencedError{Owner: f.first, Newest: 2}
		}
		m.Owners = nil
		return f.Memory.Apply(ctx, name, m)
	}
	return f.Memory.Apply(ctx, name, m)
}

// A save under a claim that has been replaced costs the next claim nothing.
func TestALateRefusalCostsTheNextClaimNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := checkpoint.Owner{Name: "test", Epoch: 1, Leased: true}
		second := checkpoint.Owner{Name: "test", Epoch: 2, Leased: true}
		store := &slowFence{Memory: checkpoint.NewMemory(), first: first, saving: make(chan struct{}), refuse: make(chan struct{})}
		src := scriptedSource{world: newWorld(t, store), next: make(chan []stream.Change)}
		batch := func(owner checkpoint.Owner, version uint64) stream.Change {
			c := stream.Change{Kind: stream.Batch, Key: keyOf(1), Owner: owner,
				Cursor: checkpoint.Cursor{Life: 1, Version: version}, Previous: checkpoint.Cursor{Life: 1, Version: version - 1}}
			c.Batch.Version = version
			return c
		}
		proceed := make(chan struct{})
		h := &handling{}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- operators.ForEach(ctx, src, func(ctx context.Context, c stream.Change) error {
				if c.Owner == second && c.Cursor.Version == 1 {
					<-proceed
				}
				return h.handle(ctx, c)
			})
		}()
		src.next <- []stream.Change{{Kind: stream.Gained, Owner: first}, batch(first, 1)}
		<-store.saving
		src.next <- []stream.Change{{Kind: stream.Lost, Owner: first}, {Kind: stream.Gained, Owner: second}, batch(second, 1), batch(second, 2)}
		synctest.Wait()
		close(store.refuse)
		synctest.Wait()
		close(proceed)
		synctest.Wait()
		src.next <- []stream.Change{batch(second, 3)}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := h.of(1); !slices.Equal(got, []string{"1.1", "1.1", "1.2", "1.3"}) {
			t.Errorf("handled %v", got)
		}
		cancel(errStop)
		<-ended
	})
}

// fencedDatabase refuses all but one claim.
type fencedDatabase struct {
	valid checkpoint.Owner
	calls atomic.Int32
	limit func()
}

func (d *fencedDatabase) Transact(ctx context.Context, owner checkpoint.Owner, _ []checkpoint.Entry, apply func(context.Context, int) error) error {
	if d.calls.Add(1) == 100 {
		d.limit()
	}
	if owner != d.valid {
		return &operators.TransactionError{Step: operators.StepSave, Err: &checkpoint.FencedError{Owner: owner, Newest: 9}}
	}
	return apply(ctx, 0)
}

func (d *fencedDatabase) Stored(context.Context, checkpoint.Owner, []checkpoint.Entry) (int, error) {
	return 0, nil
}

// A CaughtUp whose claim is over is handled under another one, and is not tried
// without an end.
func TestCaughtUpOutlivesItsClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := checkpoint.Owner{Name: "test", Epoch: 1, Leased: true}
		kept := checkpoint.Owner{Name: "test", Epoch: 1, Leased: true, Partition: 1}
		src := scriptedSource{world: newWorld(t, checkpoint.NewMemory()), next: make(chan []stream.Change)}
		ctx, cancel := context.WithCancelCause(t.Context())
		db := &fencedDatabase{valid: kept, limit: func() { cancel(errStop) }}
		var owners []checkpoint.Owner
		ended := make(chan error, 1)
		go func() {
			ended <- operators.ProjectIn(ctx, src, db, func(ctx context.Context, _ int, changes []stream.Change) error {
				owners = append(owners, changes[0].Owner)
				return nil
			})
		}()
		src.next <- []stream.Change{{Kind: stream.Gained, Owner: lost}, {Kind: stream.CaughtUp, Owner: lost}}
		synctest.Wait()
		src.next <- []stream.Change{{Kind: stream.Gained, Partition: 1, Owner: kept}, {Kind: stream.CaughtUp, Owner: lost}}
		synctest.Wait()
		cancel(errStop)
		<-ended
		if n := db.calls.Load(); n > 3 {
			t.Errorf("%d transactions", n)
		}
		if !slices.Equal(owners, []checkpoint.Owner{kept}) {
			t.Errorf("applied under %v", owners)
		}
	})
}
