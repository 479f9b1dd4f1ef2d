package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// absent is a source of no node.
type absent struct{ Source }

func (absent) Shards(context.Context) (uint64, error) { return 0, errors.New("absent") }

// doing is a job that asks nobody.
type doing func() job

func (doing) ask(context.Context) error { return nil }

func (d doing) answered(error) job { return d() }

// A job that is handed over in the moment the subscription ends is still done by
// some goroutine: the job may be a watch, which must be closed.
func TestHandedOverAtTheEnd(t *testing.T) {
	for range 50 {
		s, err := Open(t.Context(), absent{}, Orgs(msg.ID{1}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		s.step.Lock()
		s.executor.handOver(doing(func() job {
			defer close(read)
			return s.feedBy(nil, func(*engine.Engine, time.Time) {})
		}))
		s.step.Unlock()
		<-read // and its reader is idle
		done := false
		s.step.Lock()
		s.end(ErrClosed)
		s.executor.handOver(doing(func() job { done = true; return nil }))
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

// A caller that hands a job over never waits: what no idle reader has room for goes to
// another one.
func TestHandingOverNeverWaits(t *testing.T) {
	onStage(t, Options{Readers: 1}, func(t *testing.T, _ *stage, s *Subscription) {
		time.Sleep(2 * readerStays) // no reader waits
		synctest.Wait()
		done := 0
		j := doing(func() job {
			return s.feedBy(nil, func(*engine.Engine, time.Time) { done++ })
		})
		s.step.Lock()
		s.executor.readers.idle = 2 // as if two were on their way
		s.executor.handOver(j)
		s.executor.handOver(j)
		s.step.Unlock()
		synctest.Wait()
		if done != 2 {
			t.Errorf("%d of 2 jobs are done", done)
		}
	})
}

// All that was handed over is done at the end, with what follows from it.
func TestWindUpDoesAll(t *testing.T) {
	onStage(t, Options{}, func(t *testing.T, _ *stage, s *Subscription) {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := 0
		last := doing(func() job { done++; return nil })
		s.executor.readers.jobs <- doing(func() job { done++; return last })
		s.executor.readers.jobs <- last
		s.executor.windUp(s.ctx)
		if done != 3 {
			t.Errorf("%d of 3 jobs are done", done)
		}
	})
}

// A reader that leaves takes the job along that was handed to it, is not counted
// twice, and leaves at once when the subscription has ended.
func TestRetire(t *testing.T) {
	onStage(t, Options{}, func(t *testing.T, _ *stage, s *Subscription) {
		time.Sleep(2 * readerStays)
		synctest.Wait()
		x := s.executor
		x.readers.jobs <- doing(func() job { return nil })
		if x.retire(s.ctx) == nil || x.readers.idle != 0 {
			t.Errorf("left without its job, %d are idle", x.readers.idle)
		}
		s.step.Lock()
		x.readers.idle = 1
		s.step.Unlock()
		if x.retire(s.ctx) != nil || x.readers.idle != 0 {
			t.Errorf("stayed, %d are idle", x.readers.idle)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if x.retire(t.Context()) != nil {
			t.Error("stayed after the end")
		}
	})
}
