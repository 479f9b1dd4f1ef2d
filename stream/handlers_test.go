package stream

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Close waits for the handler at work, after which none begins, and for what was
// handled to be stored; the loop ends with ErrClosed.
func TestCloseWaitsForHandlers(t *testing.T) {
	for _, end := range []string{"Close", "Fail", "cancel"} {
		store := newShelf()
		onStage(t, Options{Store: store}, func(t *testing.T, _ *stage, s *Subscription) {
			s.box.put(moving(1, 2, 3), 0)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var calls []byte
			ended := make(chan error, 1)
			go func() {
				ended <- s.Run(ctx, func(_ context.Context, c Change) error {
					calls = append(calls, c.Key.Org[0])
					time.Sleep(time.Minute)
					return nil
				})
			}()
			synctest.Wait()
			want := errEnough
			switch end {
			case "Close":
				want = ErrClosed
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if store.last() != [2]uint64{1, 1} {
					t.Errorf("stored at the end of Close: %v", store.saves)
				}
			case "Fail":
				s.Fail(errEnough)
			case "cancel":
				cancel(errEnough)
			}
			if err := <-ended; err != want {
				t.Errorf("%s: Run ended with %v", end, err)
			}
			if !slices.Equal(calls, []byte{1}) || store.last() != [2]uint64{1, 1} {
				t.Errorf("%s: handled %v, stored %v", end, calls, store.saves)
			}
		})
	}
}

// Close inside a handler does not wait for that handler, but has stored what was
// handled before when it returns.
func TestCloseInsideAHandler(t *testing.T) {
	store := newShelf()
	onStage(t, Options{Store: store}, func(t *testing.T, _ *stage, s *Subscription) {
		s.box.put(moving(1, 2, 3), 0)
		calls := 0
		err := s.Run(t.Context(), func(ctx context.Context, c Change) error {
			if calls++; calls == 2 {
				if err := s.Close(ctx); err != nil || !s.Inside() {
					t.Errorf("closed inside %v: %v", s.Inside(), err)
				}
				if store.last() != [2]uint64{1, 1} {
					t.Errorf("stored by Close: %v", store.saves)
				}
				select {
				case <-s.Done():
				default:
					t.Error("something of the subscription runs")
				}
			}
			return nil
		})
		if err != ErrClosed || calls != 2 || store.last() != [2]uint64{2, 2} {
			t.Errorf("ended with %v after %d calls, stored %v", err, calls, store.saves)
		}
	})
}

// A close inside a worker's handler waits until the loop has stored, and neither for
// the worker nor for the loop that waits for it; two that close at once do not wait
// for each other.
func TestHandlersThatWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Handlers
		loop := h.Begin(func() { t.Error("store is called on the goroutine of a worker") })
		errs := make(chan error, 3)
		for range 2 {
			go func() {
				leave := loop.Join()
				defer leave()
				errs <- h.Wait(t.Context())
			}()
		}
		single := false
		go func() {
			other := h.Begin(func() { single = true })
			defer other.End()
			errs <- h.Wait(t.Context())
		}()
		synctest.Wait()
		if len(errs) != 0 || !single {
			t.Errorf("%d waited for nothing; stored: %v", len(errs), single)
		}
		loop.Stored()
		for range 3 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errEnough)
		defer cancel()
		third := h.Begin(nil)
		go func() { errs <- h.Wait(ctx) }()
		if err := <-errs; err != errEnough {
			t.Errorf("a loop that does not end was waited for: %v", err)
		}
		third.End()
		loop.End()
		if err := h.Wait(ctx); err != nil || h.Inside() {
			t.Errorf("nothing is at work: %v", err)
		}
	})
}

// Close works inside OnState, and is refused inside hooks of requests.
func TestCloseInsideCallbacks(t *testing.T) {
	var s *Subscription
	results := make(chan error, 10)
	o := Options{Reconcile: -1, Probe: -1, OnState: func(state State) {
		if state.Phase == Reconnecting {
			results <- s.Close(context.Background())
		}
	}}
	onStage(t, o, func(t *testing.T, src *stage, opened *Subscription) {
		s = opened
		(<-src.watches).lose <- errEnough
		if err := <-results; err != nil {
			t.Errorf("inside OnState: %v", err)
		}
		<-s.Done()
	})
	o = Options{Hooks: Hooks{Commit: func(CommitDone) { results <- s.Close(context.Background()) }}}
	onStage(t, o, func(t *testing.T, src *stage, opened *Subscription) {
		s = opened
		if err := s.Commit(t.Context(), Entries(moving(1))); err != nil {
			t.Error(err)
		}
		if err := <-results; err != ErrInHook {
			t.Errorf("inside a hook: %v", err)
		}
		<-s.Done()
	})
}

// Own commits beside a loop are no regression, and a panic leaves what was not handled.
func TestOwnCommitsBesideALoop(t *testing.T) {
	store := checkpoint.NewMemory()
	onStage(t, Options{Store: store}, func(t *testing.T, _ *stage, s *Subscription) {
		changes := moving(1, 1, 1, 1)
		s.box.put(changes, 0)
		for c, err := range s.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(t.Context(), Entries([]Change{c})); err != nil {
				t.Error(err)
			}
			if c.Cursor.Version == 2 {
				break
			}
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = takes(t.Context(), s, func(byte) { panic("mine") })
		}()
		var rest []uint64
		for c, err := range s.All(t.Context()) {
			if err != nil {
				break
			}
			if rest = append(rest, c.Cursor.Version); c.Cursor.Version == 4 {
				s.Fail(errEnough)
			}
		}
		if !slices.Equal(rest, []uint64{2, 3, 4}) || s.Err() != errEnough {
			t.Errorf("after a break and a panic came %v; ended with %v", rest, s.Err())
		}
	})
}

// Waits for a store that is away end with the subscription, and a save that does not
// return 5 s later.
func TestCommitEndsWithTheSubscription(t *testing.T) {
	for name, stuck := range map[string]bool{"fails": false, "does not return": true} {
		store := &deaf{shelf: newShelf(), stuck: stuck}
		store.refuses = func([]checkpoint.Entry) error { return errEnough }
		onStage(t, Options{Store: store}, func(t *testing.T, _ *stage, s *Subscription) {
			began := time.Now()
			time.AfterFunc(time.Minute, func() { s.Fail(nil) })
			err := s.Commit(context.Background(), Entries(moving(1)))
			took := time.Since(began) - time.Minute
			if !errors.Is(err, ErrClosed) && !stuck || took > lastCommit || took > 0 && !stuck {
				t.Errorf("%s: %v, %v after the end", name, err, took)
			}
			began = time.Now()
			if err := s.Commit(context.Background(), Entries(moving(1))); err == nil || time.Since(began) > lastCommit {
				t.Errorf("%s: after the end: %v in %v", name, err, time.Since(began))
			}
		})
	}
}

// deaf is a store whose saves return when their context ends.
type deaf struct {
	*shelf
	stuck bool
}

func (d *deaf) Save(ctx context.Context, o checkpoint.Owner, e []checkpoint.Entry) error {
	if d.stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.shelf.Save(ctx, o, e)
}
