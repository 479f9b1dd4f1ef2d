package checkpoint

import (
	"context"
	"iter"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// Memory is a Store that lives as long as the process: after a restart every
// subscription starts over. It suits tests, and read models that are rebuilt
// at start anyway. It grows with the number of distinct keys, by roughly 150
// to 300 bytes each, and is bounded by nothing else. No call blocks.
type Memory struct {
	index *index
	// writing spans a decision and its application.
	writing sync.Mutex
}

var _ Store = (*Memory)(nil)

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
	next, err := m.index.claim(claim)
	if err != nil {
		return Owner{}, err
	}
	m.index.own(claim.Name, next)
	return Owner{Name: claim.Name, Epoch: next.epoch}, nil
}

// Load implements Store.
func (m *Memory) Load(ctx context.Context, name string, keys []msg.Key) ([]Cursor, error) {
	return m.index.load(ctx, name, keys)
}

// Scan implements Store. It holds the keys of the subscription while it runs.
func (m *Memory) Scan(ctx context.Context, name string) iter.Seq2[Entry, error] {
	return m.index.scan(ctx, name)
}

// Save implements Store.
func (m *Memory) Save(ctx context.Context, owner Owner, entries []Entry) error {
	if err := begin(ctx, "saving", owner.Name); err != nil {
		return err
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	moved, err := m.index.advance(owner, entries)
	if err != nil || len(moved) == 0 {
		return err
	}
	m.index.move(owner.Name, moved)
	return nil
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
	m.index.own(name, next)
	return nil
}

// Close implements Store. It lets go of all cursors.
func (m *Memory) Close() error {
	m.writing.Lock()
	defer m.writing.Unlock()
	m.index.close()
	return nil
}
