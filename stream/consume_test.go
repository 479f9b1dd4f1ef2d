package stream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// shelf is a store that notes what it is given, and refuses what it is told to.
type shelf struct {
	checkpoint.Store
	mu      sync.Mutex
	refuses func([]checkpoint.Entry) error
	saves   [][]checkpoint.Entry
}

func newShelf() *shelf { return &shelf{Store: checkpoint.NewMemory()} }

func (s *shelf) Save(ctx context.Context, _ checkpoint.Owner, entries []checkpoint.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = append(s.saves, slices.Clone(entries))
	if s.refuses != nil {
		return s.refuses(entries)
	}
	return nil
}

// last is the number and version saved last.
func (s *shelf) last() (last [2]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entries := range s.saves {
		e := entries[len(entries)-1]
		last = [2]uint64{uint64(e.Key.Org[0]), e.Cursor.Version}
	}
	return last
}

// moving are changes of one aggregate each, of rising versions.
func moving(keys ...byte) []Change {
	changes := batches(keys...)
	for i := range changes {
		changes[i].Cursor = checkpoint.Cursor{Version: uint64(i + 1)}
	}
	return changes
}

// takes ranges over the changes that wait and returns whose they were, and how it
// ended.
func takes(ctx context.Context, s *Subscription, body func(n byte)) (taken []byte, err error) {
	for c, err := range s.All(ctx) {
		if err != nil {
			return taken, err
		}
		taken = append(taken, c.Key.Org[0])
		body(c.Key.Org[0])
	}
	return taken, nil
}

var errEnough = errors.New("enough")

// A context that ends in the middle of a slice ends the loop there: what was
// handled is stored, the rest comes again, and nothing of it twice.
func TestLoopEndsInTheMiddle(t *testing.T) {
	store := newShelf()
	onStage(t, Options{Store: store}, func(t *testing.T, _ *stage, s *Subscription) {
		s.box.put(moving(1, 2, 3), 0)
		ctx, cancel := context.WithCancelCause(t.Context())
		if taken, err := takes(ctx, s, func(byte) { cancel(errEnough) }); !slices.Equal(taken, []byte{1}) || err != errEnough {
			t.Errorf("took %v, ended with %v", taken, err)
		}
		if store.last() != [2]uint64{1, 1} {
			t.Errorf("stored are %v", store.saves)
		}
		for _, want := range [][]byte{{2, 3}, nil} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(errEnough) })
			if taken, err := takes(ctx, s, func(byte) {}); !slices.Equal(taken, want) || err != errEnough {
				t.Errorf("then took %v, want %v; ended with %v", taken, want, err)
			}
		}
	})
}

// Cursors are stored when nothing more waits, when 512 changes have been handled, also
// within a slice, and a second after the first of them, also while a handler works.
func TestWhenCursorsAreStored(t *testing.T) {
	store := newShelf()
	onStage(t, Options{Store: store}, func(t *testing.T, _ *stage, s *Subscription) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s.box.put(moving(1), 0)
		s.box.put(moving(slices.Repeat([]byte{2}, commitChanges)...), 0)
		s.box.put(moving(3), 0)
		s.box.put(moving(4), 0)
		s.box.put(moving(5), 0)
		before := map[byte][2]uint64{1: {}, 3: {2, commitChanges - 1}, 4: {2, commitChanges - 1}, 5: {3, 1}}
		go func() {
			_, _ = takes(ctx, s, func(n byte) {
				if got := store.last(); n != 2 && got != before[n] {
					t.Errorf("before %d, %v is stored, want %v", n, got, before[n])
				}
				if n == 4 {
					time.Sleep(commitInterval + time.Millisecond)
				}
			})
		}()
		time.Sleep(2 * commitInterval)
		synctest.Wait()
		if got := store.last(); got != [2]uint64{5, 1} {
			t.Errorf("at rest, %v is stored", got)
		}
		cancel(errEnough)
		synctest.Wait()
	})
}

// A store that is away when the context ends is asked for 5 s more; the error names it
// if it stays away.
func TestStoreAwayAtTheEnd(t *testing.T) {
	for _, back := range []bool{true, false} {
		store, away := newShelf(), errors.New("away")
		onStage(t, Options{Store: store}, func(t *testing.T, _ *stage, s *Subscription) {
			ctx, cancel := context.WithCancelCause(t.Context())
			store.refuses = func([]checkpoint.Entry) error { return away }
			s.box.put(moving(1), 0)
			time.AfterFunc(time.Minute, func() {
				store.mu.Lock()
				defer store.mu.Unlock()
				if back {
					store.refuses, store.saves = nil, nil
				}
				cancel(errEnough)
			})
			began := time.Now()
			_, err := takes(ctx, s, func(byte) {})
			if !errors.Is(err, errEnough) || errors.Is(err, away) == back {
				t.Errorf("ended with %v", err)
			}
			if took := time.Since(began) - time.Minute; back && len(store.saves) != 1 || took > lastCommit {
				t.Errorf("saved %d times in %v", len(store.saves), took)
			}
		})
	}
}

// A subscriber that leaves in the loop takes along what is its own, and nothing else.
func TestLeavesInTheLoop(t *testing.T) {
	onStage(t, Options{}, func(t *testing.T, _ *stage, s *Subscription) {
		s.box.put(moving(1, 2, 3, 4), 0)
		ctx, cancel := context.WithCancelCause(t.Context())
		taken, _ := takes(ctx, s, func(n byte) {
			switch n {
			case 1:
				s.box.restrict(func(k msg.Key) bool { return k != numbered(2) })
			case 4:
				cancel(errEnough)
			}
		})
		if !slices.Equal(taken, []byte{1, 3, 4}) {
			t.Errorf("took %v", taken)
		}
	})
}

// Nothing comes after a handler has failed.
func TestNothingFollowsAFailure(t *testing.T) {
	onStage(t, Options{}, func(t *testing.T, _ *stage, s *Subscription) {
		s.box.put(moving(1, 2), 0)
		if err := s.Run(t.Context(), func(context.Context, Change) error { return errEnough }); !errors.Is(err, errEnough) {
			t.Errorf("ended with %v", err)
		}
		if c, err := s.Next(t.Context()); !errors.Is(err, errEnough) {
			t.Errorf("then came %v, %v", c, err)
		}
	})
}

// A cursor that would go back costs its aggregate: the others are stored, and the error
// names it, unless it has left the scope meanwhile. A refusal for an aggregate that is
// none of these ends the subscription.
func TestCursorsThatGoBack(t *testing.T) {
	for _, c := range []struct {
		name        string
		left        bool
		back        byte
		saves       int
		fails, ends bool
	}{
		{"of one that stayed", false, 1, 2, true, false},
		{"of one that has left", true, 1, 2, false, false},
		{"of one that is none of these", true, 9, 1, true, true},
	} {
		store := newShelf()
		store.refuses = func(entries []checkpoint.Entry) error {
			if c.back == 9 || slices.ContainsFunc(entries, func(e checkpoint.Entry) bool { return e.Key == numbered(c.back) }) {
				return &checkpoint.RegressionError{Key: numbered(c.back)}
			}
			return nil
		}
		onStage(t, Options{Store: store}, func(t *testing.T, _ *stage, s *Subscription) {
			if c.left {
				s.left = Aggregates(numbered(1))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := s.Commit(ctx, Entries(moving(1, 2)))
			var regression *checkpoint.RegressionError
			if errors.As(err, &regression) != c.fails || (s.Err() != nil) != c.ends || len(store.saves) != c.saves {
				t.Errorf("%s: %v after %d saves, ended with %v", c.name, err, len(store.saves), s.Err())
			}
			if last := store.saves[len(store.saves)-1]; !c.ends && (len(last) != 1 || last[0].Key != numbered(2)) {
				t.Errorf("%s: stored at last: %v", c.name, last)
			}
		})
	}
}

// The room that a slice took of the buffer is given back once.
func TestBufferIsGivenBackOnce(t *testing.T) {
	onStage(t, Options{}, func(t *testing.T, _ *stage, s *Subscription) {
		before := s.Stats().Buffered
		s.box.put(moving(1), 100)
		if _, err := s.Next(t.Context()); err != nil || s.taken != 100 {
			t.Fatalf("%d bytes are taken: %v", s.taken, err)
		}
		s.consumed()
		given := s.Stats().Buffered
		if s.consumed(); given != before-100 || s.Stats().Buffered != given {
			t.Errorf("from %d to %d, then to %d", before, given, s.Stats().Buffered)
		}
	})
}
