package operators_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// leaving is a log handler whose first record is answered by leave.
type leaving struct {
	slog.Handler
	leave func()
}

func (l leaving) Handle(context.Context, slog.Record) error {
	l.leave()
	return nil
}

// A classifier, a hook or a logger that ends its goroutine loses no change, and keeps
// nothing from being stored.
func TestCallbacksThatEndTheirGoroutineLoseNothing(t *testing.T) {
	for name, option := range map[string]func(leave func()) operators.Option{
		"classifier": func(leave func()) operators.Option {
			return operators.WithVerdicts(func(operators.Failure) operators.Verdict { leave(); return operators.Retry })
		},
		"handled": func(leave func()) operators.Option {
			return operators.WithHooks(operators.Hooks{Handled: func(operators.HandledInfo) { leave() }})
		},
		"verdict": func(leave func()) operators.Option {
			return operators.WithHooks(operators.Hooks{Verdict: func(operators.VerdictInfo) { leave() }})
		},
		"paused": func(leave func()) operators.Option {
			return operators.WithHooks(operators.Hooks{Parked: func(operators.ParkedInfo) { leave() }, Paused: func(operators.PausedInfo) { leave() }})
		},
		"logger": func(leave func()) operators.Option {
			return operators.WithLogger(slog.New(leaving{slog.NewTextHandler(io.Discard, nil), leave}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := checkpoint.NewMemory()
				w := newWorld(t, store)
				var once sync.Once
				left := false
				leave := func() { once.Do(func() { left = true; runtime.Goexit() }) }
				failed := false
				h := &handling{fail: func(c stream.Change) error {
					if describe(c) == "1.1" && !failed {
						failed = true
						return errPoison
					}
					return nil
				}}
				c := w.consume(h.handle, option(leave), operators.WithWorkers(2))
				if err := checkpoint.RequestPause(t.Context(), store, "test", "ops", keyOf(9)); err != nil {
					t.Fatal(err)
				}
				for key := range uint64(4) {
					w.write(1+key, "a")
					w.write(1+key, "b")
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if !left {
					t.Fatal("nothing ended its goroutine")
				}
				for key := range uint64(4) {
					got := slices.Compact(h.of(1 + key))
					if last := describe(versionAt(1+key, 2)); len(got) < 2 || got[len(got)-1] != last || w.version(1+key) != 2 {
						t.Errorf("of aggregate %d %v was handled, version %d stored", 1+key, got, w.version(1+key))
					}
				}
				w.write(5, "c")
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := w.version(5); got != 1 {
					t.Errorf("afterwards version %d is stored, want 1", got)
				}
				if err := c.stop(); !errors.Is(err, errStop) {
					t.Errorf("it ended with %v", err)
				}
			})
		})
	}
}

// A logger that panics on a goroutine of the consumer's ends the consumer, not the
// process.
func TestALoggerThatPanicsEndsTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		h := &handling{fail: func(stream.Change) error { return errPoison }}
		c := w.consume(h.handle, operators.WithWorkers(2),
			operators.WithLogger(slog.New(leaving{slog.NewTextHandler(io.Discard, nil), func() { panic("no space left") }})))
		w.write(1, "a")
		var panicked *operators.PanicError
		if err := <-c.ended; !errors.As(err, &panicked) || panicked.Value != "no space left" {
			t.Errorf("it ended with %v", err)
		}
	})
}

// Trimmed versions are recorded as passed, so that a caller that waits for one is told.
func TestTruncationsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		w := newWorld(t, store)
		src := injectingSource{world: w, ahead: make(chan []stream.Change, 1)}
		h := &handling{}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- operators.ForEach(ctx, src, h.handle) }()
		synctest.Wait()
		src.ahead <- []stream.Change{{Kind: stream.Truncated, Key: keyOf(1), From: 1, To: 3, Cursor: checkpoint.Cursor{Version: 3}}}
		w.write(2, "b")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		passed, ok, err := checkpoint.LoadPassed(t.Context(), store, "test", keyOf(1))
		if err != nil || !ok || passed.From != 1 || passed.To != 3 || passed.Why != "truncated" {
			t.Errorf("passed: %+v, %v, %v", passed, ok, err)
		}
		cancel(errStop)
		<-ended
	})
}

func versionAt(key, version uint64) stream.Change {
	c := stream.Change{Kind: stream.Batch, Key: keyOf(key)}
	c.Batch.Version = version
	return c
}
