package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const redoPrefix = "redo/"

// Redo is a request to handle one aggregate from its start again: a Reset, then
// its history.
type Redo struct {
	Key msg.Key
	// By names who asked, for people; At is when.
	By string
	At time.Time
	// Revision is of the record this was read from.
	Revision uint64
}

type redoJSON struct {
	Format int `json:"format"`
	keyText
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

func decodeRedo(r Record) (Redo, error) {
	var j redoJSON
	if err := decodeRecord(r, &j); err != nil {
		return Redo{}, err
	}
	return Redo{Key: j.key(), By: j.By, At: j.At, Revision: r.Revision}, nil
}

// RequestRedo asks the owner of an aggregate to handle it from its start again, within
// one heartbeat; of one that is parked or paused, once that has ended. by names who asks.
// The error matches [ErrNothingToRedo] if nothing of it was handled.
func RequestRedo(ctx context.Context, store RecordStore, name string, key msg.Key, by string) error {
	stored, err := store.Load(ctx, name, []msg.Key{key})
	if err != nil {
		return err
	}
	if stored[0].IsZero() || stored[0].Deleted {
		return fmt.Errorf("checkpoint: %v of %q: %w", key, name, ErrNothingToRedo)
	}
	value := encodeRecord(redoJSON{Format: recordFormat, keyText: textOf(key), By: ErrorText(errors.New(by)), At: time.Now().UTC()})
	return request(ctx, store, name, Mutation{Records: []RecordChange{{Key: aggregateRecord(redoPrefix, key), Value: value, Any: true}}})
}

// ErrNothingToRedo: nothing of the aggregate was handled, or it was deleted since.
var ErrNothingToRedo = errors.New("checkpoint: nothing to redo")

// LoadRedo returns the request about one aggregate; ok is false if there is none.
func LoadRedo(ctx context.Context, store RecordStore, name string, key msg.Key) (r Redo, ok bool, err error) {
	records, _, err := store.Records(ctx, name, aggregateRecord(redoPrefix, key))
	if err != nil || len(records) == 0 {
		return Redo{}, false, err
	}
	r, err = decodeRedo(records[0])
	return r, err == nil, err
}

// Redone adds to the mutation, in which the Reset's cursor is saved, that the
// request was carried out. The mutation is refused with a [*RevisionError] if
// another one came since r was read.
func (m *Mutation) Redone(r Redo) {
	m.Records = append(m.Records, RecordChange{Key: aggregateRecord(redoPrefix, r.Key), Revision: r.Revision})
}
