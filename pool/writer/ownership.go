package writer

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// Ownership says whose batch holds a client sequence.
type Ownership uint8

const (
	// OwnerUnreadable: no batch with the sequence can be read (yet, or any more).
	OwnerUnreadable Ownership = iota
	// OwnedByCommand: the command's own batch; it has been applied.
	OwnedByCommand
	// OwnedByOther: the batch of somebody else who writes under the same client
	// id; the command has not been applied under this sequence.
	OwnedByOther
)

// String returns the ownership in words.
func (o Ownership) String() string {
	switch o {
	case OwnerUnreadable:
		return "unreadable"
	case OwnedByCommand:
		return "owned by the command"
	case OwnedByOther:
		return "owned by another"
	}
	return fmt.Sprintf("ownership %d", uint8(o))
}

// Owner reads which batch holds a sequence of the writer's client id, and
// returns its version unless it is unreadable. A node's refusal of a
// sequence as stored (msg.ErrDuplicate) is no proof that the batch is the writer's own.
func (w *Writer) Owner(ctx context.Context, key msg.Key, seq uint64, command msg.ID) (Ownership, uint64, error) {
	filters := msg.ReadFilters{
		From:            1,
		IncludeClientID: msg.Some(w.opts.ClientID),
		MinClientSeq:    msg.Some(seq),
		MaxClientSeq:    msg.Some(seq),
	}
	owner, version := OwnerUnreadable, uint64(0)
	for range maxRestarts {
		err := eachBatch(ctx, w.log, key, filters, func(batch msg.Batch) error {
			for i := range batch.Events {
				event := &batch.Events[i]
				switch {
				case batch.ClientID != w.opts.ClientID || event.ClientSeq != seq: // the filters are the node's
				case event.EventID == msg.Some(command):
					owner, version = OwnedByCommand, batch.Version
				case owner == OwnerUnreadable:
					owner, version = OwnedByOther, batch.Version
				}
			}
			return nil
		})
		if lowest, ok := trimFloor(err); ok {
			filters.From = lowest
			continue
		}
		if errors.Is(err, msg.ErrNotFound) {
			err = nil
		}
		return owner, version, err
	}
	return OwnerUnreadable, 0, nil
}
