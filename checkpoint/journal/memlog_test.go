package journal_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
)

// storage is what several logs share: journals in memory.
type storage struct {
	mu       sync.Mutex
	journals map[string][]journal.Record
	watchers map[chan string]bool
	// onAppend, if not nil, is asked before each append; its error is the answer,
	// and applied tells whether the record is appended all the same.
	onAppend func(name string) (applied bool, err error)
	trims    int
	appends  int
}

func newStorage() *storage {
	return &storage{journals: make(map[string][]journal.Record), watchers: make(map[chan string]bool)}
}

// log is one process's way to the storage.
type log struct {
	*storage
	max int
}

func (s *storage) open(t testing.TB, o journal.Options) *journal.Store {
	t.Helper()
	store := journal.New(&log{storage: s}, o)
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func (l *log) Append(ctx context.Context, name string, last uint64, data []byte) (journal.Record, error) {
	if err := ctx.Err(); err != nil {
		return journal.Record{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var failure error
	if l.onAppend != nil {
		applied, err := l.onAppend(name)
		if err != nil && !applied {
			return journal.Record{}, err
		}
		failure = err
	}
	records := l.journals[name]
	var newest uint64
	if len(records) > 0 {
		newest = records[len(records)-1].Number
	}
	if newest != last {
		return journal.Record{}, journal.ErrBehind
	}
	// Numbers have gaps, as those of a stream that several journals share.
	r := journal.Record{Number: newest + 3, Time: time.Now(), Data: slices.Clone(data)}
	l.journals[name] = append(records, r)
	l.appends++
	for w := range l.watchers {
		w <- name
	}
	return r, failure
}

func (l *log) Read(ctx context.Context, name string, after uint64) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		l.mu.Lock()
		records := slices.Clone(l.journals[name])
		l.mu.Unlock()
		for _, r := range records {
			if err := ctx.Err(); err != nil {
				yield(journal.Record{}, err)
				return
			}
			if r.Number > after && !yield(r, nil) {
				return
			}
		}
	}
}

func (l *log) Trim(_ context.Context, name string, first uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trims++
	l.journals[name] = slices.DeleteFunc(slices.Clone(l.journals[name]), func(r journal.Record) bool { return r.Number < first })
	return nil
}

func (l *log) Names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		l.mu.Lock()
		var names []string
		for name := range l.journals {
			names = append(names, name)
		}
		l.mu.Unlock()
		for _, name := range names {
			if !yield(name, ctx.Err()) {
				return
			}
		}
	}
}

func (l *log) Watch(ctx context.Context, ready func(), changed func(string)) error {
	names := make(chan string, 10_000)
	l.mu.Lock()
	l.watchers[names] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, names)
	}()
	ready()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case name := <-names:
			changed(name)
		}
	}
}

func (l *log) MaxRecord() int {
	if l.max > 0 {
		return l.max
	}
	return 64 << 20
}

func (l *log) Close() error { return nil }

// lose removes the last n records of a journal, as a failover to a replica does
// that had not got them.
func (s *storage) lose(name string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journals[name] = slices.Clone(s.journals[name][:len(s.journals[name])-n])
}

func (s *storage) length(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.journals[name])
}

func (s *storage) answer(f func(name string) (bool, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onAppend = f
}

var errLost = errors.New("the answer was lost")

func acquire(t testing.TB, s checkpoint.Store) checkpoint.Owner {
	t.Helper()
	owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "all"})
	if err != nil {
		t.Fatal(err)
	}
	return owner
}
