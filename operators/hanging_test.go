package operators_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// A handler that does not return is named in the log, now and then, and no other is.
func TestAHandlerThatHangsIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		w.write(1, "a")
		w.write(2, "a")
		var log lockedBuffer
		leave := make(chan struct{})
		c := w.consume(func(ctx context.Context, c stream.Change) error {
			if c.Key == keyOf(1) {
				<-leave
			}
			return nil
		}, operators.WithWorkers(2), operators.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		for range 20 {
			w.write(2, "b") // the other worker comes on
			time.Sleep(3 * time.Second)
		}
		if n := strings.Count(log.String(), "handler does not return"); n != 1 || !strings.Contains(log.String(), keyOf(1).String()) || strings.Contains(log.String(), keyOf(2).String()) {
			t.Errorf("after a minute:\n%s", log.String())
		}
		time.Sleep(time.Minute)
		if n := strings.Count(log.String(), "handler does not return"); n != 3 {
			t.Errorf("after two minutes:\n%s", log.String())
		}
		close(leave)
		time.Sleep(2 * time.Minute)
		if n := strings.Count(log.String(), "handler does not return"); n != 3 {
			t.Errorf("after it has returned:\n%s", log.String())
		}
		if err := c.stop(); !errors.Is(err, errStop) {
			t.Error(err)
		}
	})
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
