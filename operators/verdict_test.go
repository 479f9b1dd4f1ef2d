package operators_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

var errPoison = errors.New("poison")

// handling collects what a handler saw and lets it fail.
type handling struct {
	mu   sync.Mutex
	seen []string
	fail func(c stream.Change) error
}

func (h *handling) handle(_ context.Context, c stream.Change) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		if err := h.fail(c); err != nil {
			return err
		}
	}
	h.seen = append(h.seen, describe(c))
	return nil
}

func (h *handling) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.seen)
}

// of returns what was seen of one aggregate.
func (h *handling) of(key uint64) (seen []string) {
	for _, s := range h.list() {
		if strings.HasPrefix(s, fmt.Sprintf("%d.", key)) {
			seen = append(seen, s)
		}
	}
	return seen
}

// consumer is a ForEach at work in the background.
type consumer struct {
	t      *testing.T
	cancel context.CancelCauseFunc
	ended  chan error
}

func (w *world) consume(h operators.Handler, opts ...operators.ForEachOption) *consumer {
	ctx, cancel := context.WithCancelCause(w.t.Context())
	c := &consumer{t: w.t, cancel: cancel, ended: make(chan error, 1)}
	go func() { c.ended <- operators.ForEach(ctx, w, h, opts...) }()
	synctest.Wait()
	return c
}

// stop ends it and returns why it ended.
func (c *consumer) stop() error {
	c.cancel(errStop)
	return <-c.ended
}

// A change that fails is tried again with growing pauses; its aggregate waits, and
// no other does.
func TestRetryHoldsUpItsAggregateOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		w.write(1, "b")
		w.write(2, "c")
		var attempts []time.Time
		h := &handling{fail: func(c stream.Change) error {
			if c.Key == keyOf(1) && c.Batch.Version == 1 {
				if attempts = append(attempts, time.Now()); len(attempts) <= 4 {
					return errPoison
				}
			}
			return nil
		}}
		c := w.consume(h.handle)
		if got := h.list(); !slices.Equal(got, []string{"2.1"}) {
			t.Errorf("at first %v", got)
		}
		w.write(2, "d")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := h.of(1); !slices.Equal(got, []string{"1.1", "1.2"}) {
			t.Errorf("of the failing one %v", got)
		}
		if got := h.of(2); !slices.Equal(got, []string{"2.1", "2.2"}) {
			t.Errorf("of the other one %v", got)
		}
		if len(attempts) != 5 {
			t.Fatalf("%d attempts", len(attempts))
		}
		for i := 1; i < len(attempts); i++ {
			pause, base := attempts[i].Sub(attempts[i-1]), 100*time.Millisecond<<(i-1)
			if pause < base/2 || pause > base+10*time.Millisecond {
				t.Errorf("pause %d is %v", i, pause)
			}
		}
		if err := c.stop(); !errors.Is(err, errStop) || w.version(1) != 2 || w.version(2) != 2 {
			t.Errorf("%v, stored %d and %d", err, w.version(1), w.version(2))
		}
	})
}

// CaughtUp waits for what is tried again, and nothing else does.
func TestCaughtUpWaitsForRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		failures := 3
		h := &handling{fail: func(c stream.Change) error {
			if failures--; failures >= 0 {
				return errPoison
			}
			return nil
		}}
		c := w.consume(h.handle)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := h.list(); !slices.Equal(got, []string{"1.1", "caught up"}) {
			t.Errorf("got %v", got)
		}
		c.stop()
	})
}

// A failure is in the subscription's health until the change was handled.
func TestFailuresShowInTheHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		mend := false
		h := &handling{fail: func(c stream.Change) error {
			if !mend {
				return errPoison
			}
			return nil
		}}
		src := &opened{world: w}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- operators.ForEach(ctx, src, h.handle) }()
		time.Sleep(time.Second)
		synctest.Wait()
		retrying := src.consumer.Stats().Retrying
		if len(retrying) != 1 || retrying[0].What != stream.WhatHandler || !errors.Is(retrying[0].Err, errPoison) || retrying[0].Next.IsZero() {
			t.Errorf("retrying %+v", retrying)
		}
		h.mu.Lock()
		mend = true
		h.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if retrying := src.consumer.Stats().Retrying; len(retrying) != 0 {
			t.Errorf("still retrying %+v", retrying)
		}
		cancel(errStop)
		<-ended
	})
}

// opened keeps the consumer that was opened.
type opened struct {
	*world
	consumer stream.Consumer
}

func (o *opened) Open(ctx context.Context) (stream.Consumer, error) {
	c, err := o.world.Open(ctx)
	o.consumer = c
	return c, err
}

// A change that keeps failing is parked after five minutes; the others reach their heads, a
// restart does not hand it out, and a release goes on with nothing missing.
//
//covers:g16
func TestParkingAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		w.write(1, "a")
		w.write(1, "b")
		w.write(1, "c")
		w.write(2, "d")
		poisoned := true
		h := &handling{fail: func(c stream.Change) error {
			if poisoned && c.Key == keyOf(1) && c.Batch.Version == 2 {
				return errPoison
			}
			return nil
		}}
		c := w.consume(h.handle)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		parked := w.parked(store)
		if len(parked) != 1 || parked[0].Key != keyOf(1) || parked[0].Version != 2 || parked[0].Cursor.Version != 1 ||
			parked[0].Attempts < 10 || !strings.Contains(parked[0].Error, "poison") {
			t.Fatalf("parked %+v", parked)
		}
		if got := h.list(); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"1.1", "2.1", "caught up"}) {
			t.Errorf("handled %v", got) // there is no order between aggregates
		}
		if n := w.sub.Stats().Parked; n != 1 {
			t.Errorf("the health shows %d parked", n)
		}
		if err := c.stop(); !errors.Is(err, errStop) {
			t.Error(err)
		}
		w.write(1, "e")
		w.write(2, "f")
		h.seen = nil
		c = w.consume(h.handle)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := h.list(); !slices.Equal(got, []string{"2.2", "caught up"}) {
			t.Errorf("after the restart %v", got)
		}
		if n := w.sub.Stats().Parked; n != 1 {
			t.Errorf("after the restart the health shows %d parked", n)
		}
		h.mu.Lock()
		poisoned, h.seen = false, nil
		h.mu.Unlock()
		if err := checkpoint.RequestParked(t.Context(), store, "test", parked[0], checkpoint.ActionRelease, "me"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second) // a heartbeat
		synctest.Wait()
		if n := w.sub.Stats().Parked; n != 0 {
			t.Errorf("after the release the health shows %d parked", n)
		}
		if got := h.list(); !slices.Equal(got, []string{"1.2", "1.3", "1.4"}) {
			t.Errorf("after the release %v", got)
		}
		if parked := w.parked(store); len(parked) != 0 {
			t.Errorf("still parked: %+v", parked)
		}
		c.stop()
		if w.version(1) != 4 {
			t.Errorf("stored %d", w.version(1))
		}
	})
}

func (w *world) parked(store checkpoint.RecordStore) (all []checkpoint.Parked) {
	w.t.Helper()
	for p, err := range checkpoint.ListParked(w.t.Context(), store, "test") {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// at gives a verdict at once.
func at(v operators.Verdict) operators.Option {
	return operators.WithVerdicts(func(operators.Failure) operators.Verdict { return v })
}

func poisonAt(key uint64, versions ...uint64) func(stream.Change) error {
	return func(c stream.Change) error {
		if c.Kind == stream.Batch && c.Key == keyOf(key) && slices.Contains(versions, c.Batch.Version) {
			return errPoison
		}
		return nil
	}
}

// A request to skip goes on behind the change that failed, and that is recorded.
func TestSkippingWhatIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		for range 3 {
			w.write(1, "a")
		}
		h := &handling{fail: poisonAt(1, 2)}
		c := w.consume(h.handle, at(operators.Park))
		parked := w.parked(store)
		if len(parked) != 1 {
			t.Fatalf("parked %+v", parked)
		}
		if err := checkpoint.RequestParked(t.Context(), store, "test", parked[0], checkpoint.ActionSkip, "me"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if got := h.of(1); !slices.Equal(got, []string{"1.1", "1.3"}) {
			t.Errorf("handled %v", got)
		}
		w.passed(store, 1, 2, "skipped")
		if parked := w.parked(store); len(parked) != 0 || w.version(1) != 3 {
			t.Errorf("still parked: %+v, stored %d", parked, w.version(1))
		}
		c.stop()
	})
}

func (w *world) passed(store checkpoint.RecordStore, key, version uint64, why string) {
	w.t.Helper()
	p, ok, err := checkpoint.LoadPassed(w.t.Context(), store, "test", keyOf(key))
	if err != nil || !ok || p.From != version || p.To != version || p.Why != why {
		w.t.Errorf("recorded %+v, %v, %v", p, ok, err)
	}
}

func TestSkipIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		for range 3 {
			w.write(1, "a")
		}
		h := &handling{fail: poisonAt(1, 2)}
		c := w.consume(h.handle, at(operators.Skip))
		if got := h.of(1); !slices.Equal(got, []string{"1.1", "1.3"}) {
			t.Errorf("handled %v", got)
		}
		c.stop()
		w.passed(store, 1, 2, "skipped")
		if w.version(1) != 3 {
			t.Errorf("stored %d", w.version(1))
		}
	})
}

// A stop is stored: nobody continues before it is taken back, or the handler is
// another one.
func TestStopIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		w.write(1, "a")
		w.write(1, "b")
		h := &handling{fail: poisonAt(1, 2)}
		var failed *operators.HandlerError
		err := operators.ForEach(t.Context(), w, h.handle, at(operators.Stop))
		if !errors.Is(err, errPoison) || !errors.As(err, &failed) || failed.Version != 2 || w.version(1) != 1 {
			t.Errorf("ended with %v, stored %d", err, w.version(1))
		}
		h.fail = nil
		var stopped *operators.StoppedError
		err = operators.ForEach(t.Context(), w, h.handle)
		if !errors.As(err, &stopped) || stopped.Version != 2 || stopped.Key != keyOf(1) || !strings.Contains(err.Error(), "poison") {
			t.Errorf("the next one ended with %v", err)
		}
		if len(h.list()) != 1 {
			t.Errorf("handled %v", h.list())
		}
		w.handler = "2"
		c := w.consume(h.handle)
		if got := h.of(1); !slices.Equal(got, []string{"1.1", "1.2"}) {
			t.Errorf("the mended handler got %v", got)
		}
		c.stop()
		if err := w.consume(h.handle).stop(); !errors.Is(err, errStop) {
			t.Errorf("after the stop was taken back: %v", err)
		}
	})
}

// Beyond its bound, parking means to try again, so that an outage does not park the
// world.
//
//covers:g16 verdicts
func TestParkingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		for key := range uint64(4) {
			w.write(key+1, "a")
		}
		down := true
		h := &handling{fail: func(c stream.Change) error {
			if down && c.Kind == stream.Batch {
				return errPoison
			}
			return nil
		}}
		c := w.consume(h.handle, at(operators.Park), operators.WithMaxParked(2))
		time.Sleep(time.Second)
		synctest.Wait()
		if parked := w.parked(store); len(parked) != 2 {
			t.Fatalf("%d are parked", len(parked))
		}
		h.mu.Lock()
		down = false
		h.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(h.list()); got != 3 { // and the CaughtUp
			t.Errorf("handled %v", h.list())
		}
		c.stop()
	})
}

// Nothing is passed over because a classifier panics.
//
//covers:verdicts
func TestAClassifierThatPanicsMeansRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		failures := 1
		h := &handling{fail: func(stream.Change) error {
			if failures--; failures >= 0 {
				return errPoison
			}
			return nil
		}}
		c := w.consume(h.handle, operators.WithVerdicts(func(operators.Failure) operators.Verdict { panic("no idea") }))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := h.list(); !slices.Equal(got, []string{"1.1", "caught up"}) {
			t.Errorf("got %v", got)
		}
		c.stop()
	})
}

// The next owner goes on counting attempts, and since when they fail.
func TestAttemptsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		var failures []operators.Failure
		note := operators.WithVerdicts(func(f operators.Failure) operators.Verdict {
			failures = append(failures, f)
			return operators.Retry
		})
		h := &handling{fail: poisonAt(1, 1)}
		c := w.consume(h.handle, note)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		c.stop()
		last := failures[len(failures)-1]
		time.Sleep(time.Minute)
		failures = nil
		c = w.consume(h.handle, note)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(failures) == 0 || failures[0].Attempt <= last.Attempt-1 || failures[0].Since < last.Since+time.Minute-40*time.Second {
			t.Errorf("at last attempt %d after %v, then %+v", last.Attempt, last.Since, failures)
		}
		c.stop()
	})
}

// A service that asks for a pause gets it.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		start, failures := time.Now(), 1
		h := &handling{fail: func(stream.Change) error {
			if failures--; failures >= 0 {
				return operators.RetryAfter(errPoison, time.Minute)
			}
			return nil
		}}
		c := w.consume(h.handle)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if len(h.list()) != 0 {
			t.Errorf("handled %v after %v", h.list(), time.Since(start))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(h.list()) != 2 {
			t.Errorf("handled %v after %v", h.list(), time.Since(start))
		}
		c.stop()
	})
}
