package checkpoint

import (
	"context"
	"errors"
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

// RequestRedo asks the owner of an aggregate to handle it from its start again.
// by names who asks.
func RequestRedo(ctx context.Context, store RecordStore, name string, key msg.Key, by string) error {
	value := encodeRecord(redoJSON{Format: recordFormat, keyText: textOf(key), By: ErrorText(errors.New(by)), At: time.Now().UTC()})
	return request(ctx, store, name, Mutation{Records: []RecordChange{{Key: aggregateRecord(redoPrefix, key), Value: value, Any: true}}})
}

// Redone adds to the mutation, in which the Reset's cursor is saved, that the
// request was carried out. It is refused with a [*RevisionError] if another one
// came since r was read.
func (m *Mutation) Redone(r Redo) {
	m.Records = append(m.Records, RecordChange{Key: aggregateRecord(redoPrefix, r.Key), Revision: r.Revision})
}
