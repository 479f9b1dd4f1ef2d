package lease

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// importChunk is how many cursors Import looks up and saves at once.
const importChunk = 512

// Import merges the cursors of subscriptions that each had a share of a scope under a
// name of its own into one subscription, of which every aggregate gets the furthest
// cursor. Import takes the subscription as its only owner: open it with leases
// afterwards. The others stay as they are; end their processes first, since what they
// store later is not seen. Import may be repeated, and returns how many cursors it moved.
func Import(ctx context.Context, store checkpoint.Store, name, scope string, shares []string) (moved int, err error) {
	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: name, Scope: scope})
	if err != nil {
		return 0, fmt.Errorf("lease: importing into %q: %w", name, err)
	}
	for _, share := range shares {
		var chunk []checkpoint.Entry
		flush := func() error {
			n, err := importEntries(ctx, store, owner, chunk)
			moved, chunk = moved+n, chunk[:0]
			return err
		}
		for e, err := range store.Scan(ctx, share) {
			if err == nil {
				if chunk = append(chunk, checkpoint.Entry{Key: e.Key, Cursor: e.Cursor}); len(chunk) == importChunk {
					err = flush()
				}
			}
			if err != nil {
				return moved, fmt.Errorf("lease: importing %q into %q: %w", share, name, err)
			}
		}
		if err := flush(); err != nil {
			return moved, fmt.Errorf("lease: importing %q into %q: %w", share, name, err)
		}
	}
	return moved, nil
}

// importEntries saves those that are further than what is stored.
func importEntries(ctx context.Context, store checkpoint.Store, owner checkpoint.Owner, entries []checkpoint.Entry) (int, error) {
	keys := make([]msg.Key, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	stored, err := store.Load(ctx, owner.Name, keys)
	if err != nil {
		return 0, err
	}
	var further []checkpoint.Entry
	for i := range entries {
		if entries[i].Cursor.Compare(stored[i]) > 0 {
			further = append(further, entries[i])
		}
	}
	if len(further) == 0 {
		return 0, nil
	}
	return len(further), store.Save(ctx, owner, further)
}
