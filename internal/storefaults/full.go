package storefaults

import (
	"context"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Full saves to a store until it has no room, and returns the error of that save. Nothing
// of it is stored, and once makeRoom has returned the same save succeeds.
func Full(t *testing.T, store checkpoint.Store, makeRoom func() error) error {
	t.Helper()
	s := newSaver(t, store, nil)
	const size = 200
	var refusal error
	blocks := 0
	for ; ; blocks++ {
		if refusal = store.Save(t.Context(), s.owner, block(blocks, size)); refusal != nil {
			break
		}
	}
	if checkpoint.IsRefusal(refusal) {
		t.Fatalf("saving to a full store: %v", refusal)
	}
	s.counts(blocks * size)
	if err := makeRoom(); err != nil {
		t.Fatal(err)
	}
	s.eventually("saving once there is room", func(ctx context.Context) error { return store.Save(ctx, s.owner, block(blocks, size)) })
	s.counts((blocks + 1) * size)
	return refusal
}

// block returns the n-th entries of many.
func block(n, size int) []checkpoint.Entry {
	entries := make([]checkpoint.Entry, size)
	for i := range entries {
		entries[i] = checkpoint.Entry{Key: msg.Key{Aggregate: msg.IDFromUint64(uint64(n*size + i + 1))}, Cursor: checkpoint.Cursor{Version: 1}}
	}
	return entries
}

// counts requires that so many cursors are stored.
func (s *saver) counts(want int) {
	s.Helper()
	n := 0
	for _, err := range s.store.Scan(s.Context(), subscription) {
		if err != nil {
			s.Fatal(err)
		}
		n++
	}
	if n != want {
		s.Fatalf("%d cursors are stored, want %d", n, want)
	}
}
