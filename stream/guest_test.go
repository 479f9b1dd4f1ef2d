package stream

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// heldStage is a stage whose reads may be held up, and that notes who reads.
type heldStage struct {
	*stage
	held    map[msg.Key]chan error // reads of these keys wait for its value
	readers []uint64
}

func (h *heldStage) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	h.readers = append(h.readers, goroutineID())
	if hold := h.held[req.Key]; hold != nil {
		select {
		case err := <-hold:
			if errors.Is(err, errEnough) {
				panic(err)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return h.stage.Read(ctx, node, req)
}

// onHeldStage runs a test with a subscription that is live; its first aggregate's reads
// are held up.
func onHeldStage(t *testing.T, test func(t *testing.T, src *heldStage, w *staged, s *Subscription)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		src := &heldStage{stage: &stage{watches: make(chan *staged, 10)}, held: map[msg.Key]chan error{{Aggregate: msg.ID{1}}: make(chan error, 1)}}
		s, err := Open(t.Context(), src, Everything(), Options{Probe: -1, Reconcile: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close(context.Background()) }()
		if c, err := s.Next(t.Context()); err != nil || c[0].Kind != CaughtUp {
			t.Fatal(c, err)
		}
		synctest.Wait()
		test(t, src, <-src.watches, s)
	})
}

func created(aggregate byte) []msg.Notification {
	n := hint(1, 1, 1)
	n.Key = msg.Key{Aggregate: msg.ID{aggregate}}
	return []msg.Notification{n}
}

// asks runs Next with a context and returns what it returned and after which time.
func asks(s *Subscription, ctx context.Context) func() (keys []byte, waited time.Duration, err error) {
	var changes []Change
	began, done := time.Now(), make(chan struct{})
	var waited time.Duration
	var err error
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		changes, err = s.Next(ctx)
		waited = time.Since(began)
	}()
	return func() (keys []byte, _ time.Duration, _ error) {
		<-done
		for _, c := range changes {
			keys = append(keys, c.Key.Aggregate[0])
		}
		return keys, waited, err
	}
}

// A consumer that waits makes the read itself.
func TestConsumerReads(t *testing.T) {
	onHeldStage(t, func(t *testing.T, src *heldStage, w *staged, s *Subscription) {
		w.hints <- created(2)
		if c, err := s.Next(t.Context()); err != nil || c[0].Key.Aggregate[0] != 2 {
			t.Fatal(c, err)
		}
		if !slices.Equal(src.readers, []uint64{goroutineID()}) {
			t.Errorf("read by the goroutines %v, want %d", src.readers, goroutineID())
		}
	})
}

// The consumer's read ends with its context, somebody else makes it, and for a while the
// consumer makes none.
func TestConsumersReadEndsWithItsContext(t *testing.T) {
	onHeldStage(t, func(t *testing.T, src *heldStage, w *staged, s *Subscription) {
		ctx, cancel := context.WithCancelCause(t.Context())
		asked := asks(s, ctx)
		synctest.Wait()
		w.hints <- created(1)
		synctest.Wait()
		cancel(errEnough)
		if keys, waited, err := asked(); err != errEnough || waited > 0 || len(keys) > 0 {
			t.Errorf("%v and %v after %v", keys, err, waited)
		}
		synctest.Wait()
		if len(src.readers) != 2 || src.readers[0] == src.readers[1] {
			t.Fatalf("read by the goroutines %v, want two", src.readers)
		}
		for i, paused := range []bool{true, false} {
			time.AfterFunc(guestPatience, func() { w.hints <- created(byte(2 + i)) })
			if c, err := s.Next(t.Context()); err != nil || c[0].Key.Aggregate[0] != byte(2+i) {
				t.Errorf("%v, %v", c, err)
			}
			if own := src.readers[len(src.readers)-1] == goroutineID(); own == paused {
				t.Errorf("the consumer reads: %v, while it pauses: %v", own, paused)
			}
			time.Sleep(guestPause)
		}
		src.held[msg.Key{Aggregate: msg.ID{1}}] <- nil
		if keys, _, err := asks(s, t.Context())(); err != nil || !slices.Equal(keys, []byte{1}) {
			t.Errorf("%v, %v", keys, err)
		}
		if len(src.readers) != 4 {
			t.Errorf("%d reads, want 4", len(src.readers))
		}
	})
}

// What others have read waits for the consumer's read no longer than its patience.
func TestConsumersReadHoldsNothingUp(t *testing.T) {
	onHeldStage(t, func(t *testing.T, src *heldStage, w *staged, s *Subscription) {
		asked := asks(s, t.Context())
		synctest.Wait()
		w.hints <- created(1)
		synctest.Wait()
		w.hints <- created(2)
		if keys, waited, err := asked(); err != nil || !slices.Equal(keys, []byte{2}) || waited > guestPatience {
			t.Errorf("%v, %v after %v", keys, err, waited)
		}
		src.held[msg.Key{Aggregate: msg.ID{1}}] <- nil
		if keys, _, err := asks(s, t.Context())(); err != nil || !slices.Equal(keys, []byte{1}) {
			t.Errorf("%v, %v", keys, err)
		}
	})
}

// The consumer's read ends with the subscription, which does not wait for it.
func TestConsumersReadEndsWithTheSubscription(t *testing.T) {
	onHeldStage(t, func(t *testing.T, _ *heldStage, w *staged, s *Subscription) {
		asked := asks(s, context.Background())
		synctest.Wait()
		w.hints <- created(1)
		synctest.Wait()
		began := time.Now()
		if err := s.Close(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("closed after %v with %v", time.Since(began), err)
		}
		if keys, waited, err := asked(); err != ErrClosed || waited > 0 {
			t.Errorf("%v, %v after %v", keys, err, waited)
		}
	})
}

// A read that panics on the consumer's goroutine has failed, and is made again.
func TestConsumersReadMayPanic(t *testing.T) {
	onHeldStage(t, func(t *testing.T, src *heldStage, w *staged, s *Subscription) {
		asked := asks(s, t.Context())
		synctest.Wait()
		w.hints <- created(1)
		synctest.Wait()
		hold := src.held[msg.Key{Aggregate: msg.ID{1}}]
		hold <- errEnough
		synctest.Wait()
		hold <- nil
		if keys, _, err := asked(); err != nil || !slices.Equal(keys, []byte{1}) {
			t.Errorf("%v, %v", keys, err)
		}
	})
}

// A consumer that leaves in the moment in which it is given a read gives it back.
func TestConsumerGivesItsReadBack(t *testing.T) {
	onHeldStage(t, func(t *testing.T, src *heldStage, _ *staged, s *Subscription) {
		ctx, cancel := context.WithCancel(t.Context())
		asked := asks(s, ctx)
		synctest.Wait()
		s.step.Lock()
		cancel() // it leaves, and waits for the lock
		s.executor.handOver(&reading{x: s.executor, node: "n", req: msg.ReadRequest{Key: created(2)[0].Key}})
		given := len(s.executor.guest.reads)
		s.step.Unlock()
		if keys, _, err := asked(); given != 1 || err == nil {
			t.Fatalf("given %d reads, %v, %v", given, keys, err)
		}
		synctest.Wait()
		if len(src.readers) != 1 {
			t.Errorf("%d reads of what the consumer has left, want 1", len(src.readers))
		}
	})
}
