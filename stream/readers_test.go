package stream

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// absent is a source of no node.
type absent struct{ Source }

func (absent) Shards(context.Context) (uint64, error) { return 0, errors.New("absent") }

// What is handed to a reader in the moment the subscription ends is done
// nevertheless, by whomever: it may be a watch, which must be closed.
func TestHandedOverAtTheEnd(t *testing.T) {
	for range 50 {
		s, err := Open(t.Context(), absent{}, Orgs(msg.ID{1}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		s.step.Lock()
		s.executor.handOver(func(context.Context) job {
			defer close(read)
			return s.feedBy(nil, func(*engine.Engine, time.Time) {})
		})
		s.step.Unlock()
		<-read // and its reader is idle
		done := false
		s.step.Lock()
		s.end(ErrClosed)
		s.executor.handOver(func(context.Context) job { done = true; return nil })
		handed := s.executor.readers.idle == 0
		s.step.Unlock()
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !handed || !done {
			t.Fatalf("handed to the idle reader: %v, done: %v", handed, done)
		}
	}
}
