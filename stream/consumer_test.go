package stream_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// lazy is a store whose every answer takes a time; deaf ones do not listen to
// the end of a context.
type lazy struct {
	checkpoint.Store
	takes time.Duration
	deaf  bool
	calls atomic.Int64
}

func (l *lazy) wait(ctx context.Context) error {
	l.calls.Add(1)
	if l.deaf {
		time.Sleep(l.takes)
		return nil
	}
	select {
	case <-time.After(l.takes):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *lazy) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	if err := l.wait(ctx); err != nil {
		return nil, err
	}
	return l.Store.Load(ctx, name, keys)
}

func (l *lazy) Save(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	return l.Store.Save(ctx, o, entries)
}

// neighbour follows the same aggregates beside the subscription under test, and
// must notice nothing of it.
func neighbour(t *testing.T, src stream.Source) *stream.Subscription {
	s := openOn(t, src, stream.Types(org, typ), stream.Options{Name: "neighbour"})
	until(t, s, caughtUp)
	return s
}

// hears writes to an aggregate and waits until the subscription has it, in no
// time.
func hears(t *testing.T, s *stream.Subscription, p *pool.Pool, key msg.Key) {
	t.Helper()
	began, version := time.Now(), writeOn(t, p, key)
	until(t, s, func(c stream.Change) bool { return c.Key == key && c.Batch.Version == version })
	if took := time.Since(began); took > time.Second {
		t.Errorf("the neighbour heard after %v", took)
	}
}

// sources are a source of one's own and one that is shared.
func sources(t *testing.T, test func(t *testing.T, n *celerianttest.Node, p *pool.Pool, src stream.Source)) {
	t.Run("alone", func(t *testing.T) {
		bubble(t, 2, func(t *testing.T, n *celerianttest.Node, p *pool.Pool) { test(t, n, p, stream.FromPool(p)) })
	})
	t.Run("shared", func(t *testing.T) {
		inMemory(t, celerianttest.Options{Shards: 2}, func(t *testing.T, n *celerianttest.Node, p *pool.Pool, s *stream.Shared) {
			test(t, n, p, s)
		})
	})
}

// A store that takes three minutes for each answer: everything comes all the
// same, once, and neither a neighbour nor the watches suffer.
func TestStoreThatTakesMinutes(t *testing.T) {
	sources(t, func(t *testing.T, n *celerianttest.Node, p *pool.Pool, src stream.Source) {
		store := &lazy{Store: checkpoint.NewMemory(), takes: 3 * time.Minute}
		for k := range 5 {
			writeOn(t, p, keyOf(k))
		}
		beside := neighbour(t, src)
		defer func() { _ = beside.Close(context.Background()) }()
		s := openOn(t, src, stream.Types(org, typ), stream.Options{Store: store})
		defer func() { _ = s.Close(context.Background()) }()
		next := make(map[msg.Key]uint64)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- s.Run(ctx, func(_ context.Context, c stream.Change) error {
				if c.Kind == stream.CaughtUp {
					return nil
				}
				if next[c.Key]++; c.Kind != stream.Batch || c.Batch.Version != next[c.Key] {
					return fmt.Errorf("%v came as number %d", &c, next[c.Key])
				}
				return nil
			})
		}()
		for k := range 5 {
			for range 3 {
				time.Sleep(20 * time.Second)
				hears(t, beside, p, keyOf(k))
			}
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if stats := s.Stats(); stats.State.Phase != stream.Live || stats.Reconnects != 0 || stats.Dirty != 0 {
			t.Errorf("%+v", stats)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for k := range 5 {
			if next[keyOf(k)] != 4 {
				t.Errorf("%d batches of aggregate %d, want 4", next[keyOf(k)], k)
			}
		}
		if store.calls.Load() < 5 {
			t.Errorf("the store was asked %d times", store.calls.Load())
		}
	})
}

// A store that does not even listen to the end of a context: Close comes back by
// its own deadline, and the subscription ends when the store has answered.
func TestCloseWhileTheStoreIsDeaf(t *testing.T) {
	sources(t, func(t *testing.T, n *celerianttest.Node, p *pool.Pool, src stream.Source) {
		writeOn(t, p, keyOf(1))
		beside := neighbour(t, src)
		defer func() { _ = beside.Close(context.Background()) }()
		s := openOn(t, src, stream.Types(org, typ), stream.Options{
			Store: &lazy{Store: checkpoint.NewMemory(), takes: 5 * time.Minute, deaf: true},
		})
		time.Sleep(time.Minute)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("Close returned %v after %v", err, time.Since(began))
		}
		hears(t, beside, p, keyOf(1))
		<-s.Done()
		if time.Since(began) > 5*time.Minute || !errors.Is(s.Err(), stream.ErrClosed) {
			t.Errorf("ended after %v with %v", time.Since(began), s.Err())
		}
	})
}

// A consumer that never reads holds no more than its buffer and nobody up, and
// Close does not wait for it.
func TestConsumerThatNeverReads(t *testing.T) {
	sources(t, func(t *testing.T, n *celerianttest.Node, p *pool.Pool, src stream.Source) {
		const buffer = 4 << 10
		beside := neighbour(t, src)
		defer func() { _ = beside.Close(context.Background()) }()
		s := openOn(t, src, stream.Types(org, typ), stream.Options{Buffer: buffer})
		for k := range 200 {
			hears(t, beside, p, keyOf(k))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if stats := s.Stats(); stats.Buffered > buffer || stats.Dirty == 0 || stats.Reconnects != 0 {
			t.Errorf("%+v", stats)
		}
		hears(t, beside, p, keyOf(7))
		began := time.Now()
		if err := s.Close(t.Context()); err != nil || time.Since(began) > time.Second {
			t.Errorf("Close returned %v after %v", err, time.Since(began))
		}
	})
}

// A consumer that panics, or ends its goroutine, in the middle of a slice leaves
// the subscription as a break does: what was handled is stored, and what was not
// comes again, to the same subscription and to the one that resumes it.
func TestConsumerThatPanics(t *testing.T) {
	const batches, fatal = 10, 4
	leaves := map[string]func(){
		"panic":  func() { panic("the handler's own") },
		"goexit": runtime.Goexit,
	}
	for name, leave := range leaves {
		for _, again := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " again ", again), func(t *testing.T) {
				sources(t, func(t *testing.T, n *celerianttest.Node, p *pool.Pool, src stream.Source) {
					for range batches {
						writeOn(t, p, keyOf(1))
					}
					beside := neighbour(t, src)
					defer func() { _ = beside.Close(context.Background()) }()
					opts := stream.Options{Name: "fragile", Store: checkpoint.NewMemory()}
					s := openOn(t, src, stream.Types(org, typ), opts)
					defer func() { _ = s.Close(context.Background()) }()
					var got []uint64
					run := func(s *stream.Subscription) {
						done := make(chan struct{})
						go func() {
							defer close(done)
							defer func() { _ = recover() }()
							_ = s.Run(t.Context(), func(_ context.Context, c stream.Change) error {
								if c.Kind == stream.CaughtUp {
									runtime.Goexit() // all there is
								}
								if got = append(got, c.Batch.Version); len(got) == fatal {
									leave()
								}
								return nil
							})
						}()
						<-done
					}
					run(s)
					stored, err := opts.Store.Load(t.Context(), opts.Name, []msg.Key{keyOf(1)})
					if err != nil || stored[0].Version != fatal-1 {
						t.Errorf("%v is stored (%v), want version %d", stored, err, fatal-1)
					}
					hears(t, beside, p, keyOf(2))
					if s.Err() != nil {
						t.Errorf("the subscription has ended: %v", s.Err())
					}
					if !again {
						if err := s.Close(t.Context()); err != nil {
							t.Error(err)
						}
						s = openOn(t, src, stream.Aggregates(keyOf(1)), stream.Options{Name: opts.Name, Store: opts.Store, AdoptScope: true})
						defer func() { _ = s.Close(context.Background()) }()
					}
					run(s)
					if want := []uint64{1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(got[:min(len(got), len(want))], want) {
						t.Errorf("versions %d, want %d", got, want)
					}
				})
			})
		}
	}
}
