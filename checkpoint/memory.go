package checkpoint

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Memory is a RecordStore that lives as long as the process: after a restart
// every subscription starts over. Memory suits tests, and read models that are
// rebuilt at start anyway. The store grows with the number of distinct keys, by
// roughly 150 to 300 bytes each, and is bounded by nothing else. No call blocks.
type Memory struct {
	index *index
	// writing spans a decision and its application.
	writing sync.Mutex
}

var (
	_ RecordStore = (*Memory)(nil)
	_ Notifier    = (*Memory)(nil)
	_ Exclusive   = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{index: newIndex()} }

// Acquire implements Store.
func (m *Memory) Acquire(ctx context.Context, claim Claim) (Owner, error) {
	if err := claim.Check(); err != nil {
		return Owner{}, err
	}
	if err := begin(ctx, "acquiring", claim.Name); err != nil {
		return Owner{}, err
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	next, rescoped, err := m.index.claim(claim)
	if err != nil {
		return Owner{}, err
	}
	m.index.own(claim.Name, next, rescoped)
	return next.Owner(claim.Name), nil
}

// Load implements Store.
func (m *Memory) Load(ctx context.Context, name string, keys []msg.Key) ([]Cursor, error) {
	return m.index.load(ctx, name, keys)
}

// Scan implements Store and holds the keys of the subscription while it runs.
func (m *Memory) Scan(ctx context.Context, name string) iter.Seq2[Entry, error] {
	return m.index.scan(ctx, name)
}

// Save implements Store.
func (m *Memory) Save(ctx context.Context, owner Owner, entries []Entry) error {
	return m.Apply(ctx, owner.Name, Mutation{Owners: []Owner{owner}, Entries: entries})
}

// Apply implements RecordStore.
func (m *Memory) Apply(ctx context.Context, name string, change Mutation) error {
	if err := change.Check(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("checkpoint: changing %q: %w", name, err)
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	out, err := m.index.decide(name, &change)
	if err != nil || out.empty() {
		return err
	}
	m.index.apply(name, out)
	return nil
}

// Records implements RecordStore. The time is the process's.
func (m *Memory) Records(ctx context.Context, name, prefix string) ([]Record, time.Time, error) {
	return m.index.records(ctx, name, prefix)
}

// Describe implements RecordStore.
func (m *Memory) Describe(ctx context.Context, name string) (Ownership, error) {
	return m.index.describe(ctx, name)
}

// Names implements RecordStore.
func (m *Memory) Names(ctx context.Context) iter.Seq2[string, error] { return m.index.names(ctx) }

// Exclusive implements the interface of that name: a new process starts with an empty store.
func (m *Memory) Exclusive() bool { return true }

// Notify implements Notifier.
func (m *Memory) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	return m.index.notifyOf(ctx, name)
}

// Delete implements Store.
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := begin(ctx, "deleting", name); err != nil {
		return err
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	next, exists, err := m.index.forget(name)
	if err != nil || !exists {
		return err
	}
	m.index.own(name, next, false)
	return nil
}

// Close implements Store and lets go of all cursors.
func (m *Memory) Close() error {
	m.writing.Lock()
	defer m.writing.Unlock()
	m.index.close()
	return nil
}
