package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// journal is one journal and what this process knows of it.
type journal struct {
	store *Store
	name  string
	// turn holds one token: who has it may read the log and append.
	turn chan struct{}
	// mu guards what follows; who changes it has the turn, too.
	mu    sync.RWMutex
	state *state
	// line counts how often the state was folded anew because the journal was not
	// what it seemed.
	line int
	// snapshotting tells that a snapshot is being appended.
	snapshotting bool
}

func newJournal(s *Store, name string) *journal {
	j := &journal{store: s, name: name, turn: make(chan struct{}, 1), state: newState(name)}
	j.turn <- struct{}{}
	return j
}

func (j *journal) enter(ctx context.Context) error {
	select {
	case <-j.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil { // both may have been ready
		j.leave()
		return err
	}
	return nil
}

func (j *journal) leave() { j.turn <- struct{}{} }

func (j *journal) view(do func(*state)) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	do(j.state)
}

// refresh reads what was appended since.
func (j *journal) refresh(ctx context.Context) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	return j.read(ctx)
}

// read folds the records behind the last one known. The caller has the turn.
func (j *journal) read(ctx context.Context) error {
	known := j.state.void
	if err := j.foldAll(ctx, j.state, j.state.number); err != nil {
		return err
	}
	// A record that does not follow is somebody's who did not know the last one,
	// or is right where this process is wrong. Folded from its beginning, the
	// journal tells which.
	if j.state.void == known {
		return nil
	}
	return j.reread(ctx)
}

// rereads bounds how often a journal is read again because it was trimmed
// meanwhile.
const rereads = 5

// reread folds the journal from its beginning. Records that a trim removes in the
// middle of the reading look like ones that were lost: it is read until twice the
// same comes out.
func (j *journal) reread(ctx context.Context) error {
	var before *state
	for range rereads {
		fresh := newState(j.name)
		err := j.foldAll(ctx, fresh, 0)
		if err != nil {
			return err
		}
		if fresh.void == 0 || before != nil && before.void == fresh.void && before.last == fresh.last {
			j.set(fresh)
			return nil
		}
		before = fresh
	}
	return damaged("it changes while it is read")
}

func (j *journal) set(s *state) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state = s
	j.line++
}

// foldAll folds the records behind after into s.
func (j *journal) foldAll(ctx context.Context, s *state, after uint64) error {
	for raw, err := range j.store.log.Read(ctx, j.name, after) {
		if err != nil {
			return err
		}
		r, err := decode(raw.Data)
		if err != nil {
			return err
		}
		j.mu.Lock()
		err = s.fold(raw.Number, &r, len(raw.Data))
		j.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if !s.complete() {
		return damaged("its snapshot of the buckets from %d on is missing", s.covered)
	}
	return nil
}

// doubts bounds how often an append is repeated whose outcome is open.
const doubts = 3

// stalls bounds how often a log may refuse an append although there is nothing newer.
const stalls = 10

// change appends what decide makes of the state: a record that follows it, or nil
// for none. When decide refuses, or finds its change stored already, it is asked again
// once everything appended meanwhile was read. change returns the number of the record.
func (j *journal) change(ctx context.Context, decide func(*state) (*record, error)) (uint64, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	current := j.state.index == 0 || !j.state.complete()
	if current {
		if err := j.read(ctx); err != nil {
			return 0, err
		}
	}
	for stalled := 0; stalled < stalls; {
		r, err := decide(j.state)
		if err != nil || r == nil {
			if current {
				return 0, err
			}
			if err := j.read(ctx); err != nil {
				return 0, err
			}
			current = true
			continue
		}
		last := j.state.number
		done, err := j.append(ctx, r)
		if err != nil {
			return 0, err
		}
		if done {
			return j.state.number, nil
		}
		if current = true; j.state.number == last {
			stalled++
		}
	}
	return 0, fmt.Errorf("appending: the log refused it %d times, and shows nothing behind record %d", stalls, j.state.number)
}

// append appends a record and folds it. done is false if the journal has another
// last record: what was missing has been read then. An append of unknown outcome is
// repeated: both name the same last record, so that at most one of them is in the
// journal.
func (j *journal) append(ctx context.Context, r *record) (done bool, err error) {
	data := r.encode()
	last := j.state.number
	var failed error
	for range doubts {
		began := time.Now()
		added, err := j.store.log.Append(ctx, j.name, last, data)
		switch {
		case err == nil:
			j.store.clock.set(began, added.Time)
			return true, j.appended(added.Number, r, len(data))
		case errors.Is(err, ErrBehind):
			return j.overtaken(ctx, last, r)
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return false, fmt.Errorf("appending: %w", failed)
}

func (j *journal) appended(number uint64, r *record, size int) error {
	j.mu.Lock()
	err := j.state.fold(number, r, size)
	j.mu.Unlock()
	if err != nil {
		return err
	}
	j.store.hub.Signal(j.name)
	j.considerSnapshot()
	return nil
}

// overtaken reads what an append was behind of, and tells whether the record is
// among it after all.
func (j *journal) overtaken(ctx context.Context, last uint64, r *record) (done bool, err error) {
	if err := j.read(ctx); err != nil {
		return false, err
	}
	if j.state.number <= last {
		// The journal is shorter than it was: its log lost records.
		if err := j.reread(ctx); err != nil {
			return false, err
		}
	}
	if j.state.last == r.id {
		j.store.hub.Signal(j.name)
		return true, nil
	}
	return false, nil
}
