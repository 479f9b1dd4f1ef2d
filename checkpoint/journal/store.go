package journal

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/notify"
	"github.com/celeriant/celeriant-go/msg"
)

// MaxCursors is the most cursors that a subscription can have.
const MaxCursors = 1_000_000

// Options are the choices of a store. The zero value is a good one.
type Options struct {
	// SnapshotBytes is the length of journal behind the last snapshot below which
	// there is no other; 0 means 1 MiB. Beyond it one is appended once the journal
	// is longer than twice what is live.
	SnapshotBytes int
}

// Store is a checkpoint.RecordStore in the journals of a log. All cursors of the
// names it was asked for are in memory, roughly 150 to 300 bytes each, until it is
// closed. Changes of one name take turns. Any number of stores, in any processes,
// may use the same journals.
//
// The time that Records returns is the log's as of the last append, carried on by
// this process's clock.
type Store struct {
	log  Log
	opts Options
	hub  notify.Hub

	mu       sync.Mutex
	journals map[string]*journal
	closed   bool
	watching bool
	// calls are those at work.
	calls sync.WaitGroup
	// ctx ends with Close; what runs in the background is counted in background.
	ctx        context.Context
	cancel     context.CancelFunc
	background sync.WaitGroup

	clock clock
}

var (
	_ checkpoint.RecordStore = (*Store)(nil)
	_ checkpoint.Notifier    = (*Store)(nil)
	_ checkpoint.Exchanger   = (*Store)(nil)
)

// New returns a store in log, which it closes when it is closed.
func New(log Log, options Options) *Store {
	if options.SnapshotBytes <= 0 {
		options.SnapshotBytes = 1 << 20
	}
	s := &Store{log: log, opts: options, journals: make(map[string]*journal)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// begin finds the journal of a call that should start; the caller calls done after
// it.
func (s *Store) begin(ctx context.Context, doing, name string) (*journal, error) {
	if name != "" {
		if err := checkpoint.CheckName(name); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("journal: %s %q: %w", doing, name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, checkpoint.ErrClosed
	}
	s.calls.Add(1)
	j := s.journals[name]
	if j == nil {
		j = newJournal(s, name)
		s.journals[name] = j
	}
	return j, nil
}

func (s *Store) done() { s.calls.Done() }

// look brings the journal of a name up to date and calls do with its state, which
// does not change meanwhile.
func (s *Store) look(ctx context.Context, doing, name string, do func(*state)) error {
	j, err := s.begin(ctx, doing, name)
	if err != nil {
		return err
	}
	defer s.done()
	if err := j.refresh(ctx); err != nil {
		return explain(doing, name, err)
	}
	j.view(do)
	return nil
}

// explain says what was being done. Refusals say enough already.
func explain(doing, name string, err error) error {
	if err == nil || checkpoint.IsRefusal(err) {
		return err
	}
	return fmt.Errorf("journal: %s %q: %w", doing, name, err)
}

// Acquire implements checkpoint.Store.
func (s *Store) Acquire(ctx context.Context, claim checkpoint.Claim) (checkpoint.Owner, error) {
	if err := claim.Check(); err != nil {
		return checkpoint.Owner{}, err
	}
	token := checkpoint.NewToken()
	next, err := s.own(ctx, "acquiring", claim.Name, func(o checkpoint.Ownership) (checkpoint.Ownership, bool, error) {
		return o.Claim(claim, token)
	})
	if err != nil {
		return checkpoint.Owner{}, err
	}
	return next.Owner(claim.Name), nil
}

// Delete implements checkpoint.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	_, err := s.own(ctx, "deleting", name, func(o checkpoint.Ownership) (checkpoint.Ownership, bool, error) {
		if o.Epoch == 0 {
			return o, false, nil
		}
		return o.Delete(), false, nil
	})
	return err
}

// own appends the ownership that decide makes of the present one, unless they are
// the same.
func (s *Store) own(ctx context.Context, doing, name string, decide func(checkpoint.Ownership) (checkpoint.Ownership, bool, error)) (checkpoint.Ownership, error) {
	j, err := s.begin(ctx, doing, name)
	if err != nil {
		return checkpoint.Ownership{}, err
	}
	defer s.done()
	var next checkpoint.Ownership
	_, err = j.change(ctx, func(st *state) (*record, error) {
		var rescoped bool
		var err error
		if next, rescoped, err = decide(st.ownership); err != nil || next == st.ownership {
			return nil, err
		}
		r := st.next()
		r.own, r.rescoped = &next, rescoped
		return &r, nil
	})
	return next, explain(doing, name, err)
}

// Load implements checkpoint.Store.
func (s *Store) Load(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Cursor, error) {
	if err := checkpoint.CheckName(name); err != nil {
		return nil, err
	}
	var cursors []checkpoint.Cursor
	err := s.look(ctx, "loading", name, func(st *state) {
		cursors = make([]checkpoint.Cursor, len(keys))
		for i := range keys {
			cursors[i] = st.cursors[keys[i]]
		}
	})
	return cursors, err
}

// Save implements checkpoint.Store. A save that does not fit a record of the log
// is refused with a [*checkpoint.SizeError].
func (s *Store) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	return s.Apply(ctx, owner.Name, checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: entries})
}

// Apply implements checkpoint.RecordStore, with the limit of Save.
func (s *Store) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	_, err := s.apply(ctx, name, m)
	return err
}

func (s *Store) apply(ctx context.Context, name string, m checkpoint.Mutation) (*journal, error) {
	if err := m.Check(name); err != nil {
		return nil, err
	}
	j, err := s.begin(ctx, "changing", name)
	if err != nil {
		return nil, err
	}
	defer s.done()
	_, err = j.change(ctx, func(st *state) (*record, error) {
		out, err := st.decide(&m)
		if err != nil {
			return nil, err
		}
		// An exclusive mutation appends in any case: an append under way then
		// comes before it or never.
		if len(out.Moved) == 0 && len(out.Records) == 0 && !m.Exclusive {
			return nil, nil
		}
		r := st.next()
		r.Outcome = out
		if limit := s.log.MaxRecord(); r.size() > limit {
			return nil, &checkpoint.SizeError{Name: name, Entries: len(m.Entries), Limit: (limit - headSize) / entrySize}
		}
		return &r, nil
	})
	return j, explain("changing", name, err)
}

// Exchange implements checkpoint.Exchanger: one append, which tells that nothing
// else is missing.
func (s *Store) Exchange(ctx context.Context, name string, change checkpoint.RecordChange, prefix string) ([]checkpoint.Record, time.Time, error) {
	j, err := s.apply(ctx, name, checkpoint.Mutation{Records: []checkpoint.RecordChange{change}})
	if err != nil {
		return nil, time.Time{}, err
	}
	var records []checkpoint.Record
	j.view(func(st *state) { records = st.recordsOf(prefix) })
	return records, s.clock.now(), nil
}

// Records implements checkpoint.RecordStore.
func (s *Store) Records(ctx context.Context, name, prefix string) ([]checkpoint.Record, time.Time, error) {
	var records []checkpoint.Record
	err := s.look(ctx, "reading the records of", name, func(st *state) { records = st.recordsOf(prefix) })
	if err != nil {
		return nil, time.Time{}, err
	}
	return records, s.clock.now(), nil
}

// Describe implements checkpoint.RecordStore.
func (s *Store) Describe(ctx context.Context, name string) (o checkpoint.Ownership, err error) {
	if err := checkpoint.CheckName(name); err != nil {
		return o, err
	}
	err = s.look(ctx, "describing", name, func(st *state) { o = st.ownership })
	return o, err
}

// Names implements checkpoint.RecordStore and reads every journal that this
// store does not know yet.
func (s *Store) Names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := s.names(ctx)
		for _, name := range names {
			var o checkpoint.Ownership
			if o, err = s.Describe(ctx, name); err != nil {
				break
			}
			if o.Claimed && !yield(name, nil) {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

func (s *Store) names(ctx context.Context) ([]string, error) {
	if _, err := s.begin(ctx, "listing the names of", ""); err != nil {
		return nil, err
	}
	defer s.done()
	var names []string
	for name, err := range s.log.Names(ctx) {
		if err != nil {
			return nil, fmt.Errorf("journal: listing names: %w", err)
		}
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// scanPage bounds how long a scan keeps writers waiting.
const scanPage = 1024

// Scan implements checkpoint.Store and holds the keys of the subscription while
// it runs.
func (s *Store) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return func(yield func(checkpoint.Entry, error) bool) {
		var keys []msg.Key
		err := checkpoint.CheckName(name)
		if err == nil {
			err = s.look(ctx, "scanning", name, func(st *state) {
				keys = make([]msg.Key, 0, len(st.cursors))
				for k := range st.cursors {
					keys = append(keys, k)
				}
			})
		}
		for page := range slices.Chunk(keys, scanPage) {
			var entries []checkpoint.Entry
			if entries, err = s.page(ctx, name, page); err != nil {
				break
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(checkpoint.Entry{}, err)
		}
	}
}

// page leaves out what was deleted since the keys were taken.
func (s *Store) page(ctx context.Context, name string, keys []msg.Key) ([]checkpoint.Entry, error) {
	j, err := s.begin(ctx, "scanning", name)
	if err != nil {
		return nil, err
	}
	defer s.done()
	page := make([]checkpoint.Entry, 0, len(keys))
	j.view(func(st *state) {
		for _, k := range keys {
			if c, ok := st.cursors[k]; ok {
				page = append(page, checkpoint.Entry{Key: k, Cursor: c})
			}
		}
	})
	return page, nil
}

// Close implements checkpoint.Store, waits for the calls at work and stops a
// snapshot, which another one will take the place of.
func (s *Store) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if already {
		return nil
	}
	s.calls.Wait()
	s.cancel()
	s.background.Wait()
	if err := s.log.Close(); err != nil {
		return fmt.Errorf("journal: closing the log: %w", err)
	}
	return nil
}
