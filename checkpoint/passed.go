package checkpoint

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const passedPrefix = "passed/"

// Passed tells which versions of an aggregate's life the cursor went past
// without their being handled, the last time that this happened.
type Passed struct {
	Key  msg.Key
	Life uint64
	// From and To bound the versions, both inclusive.
	From, To uint64
	// Why is one word, such as "skipped" or "truncated".
	Why string
	At  time.Time
}

type passedJSON struct {
	Format int `json:"format"`
	keyText
	Life uint64    `json:"life"`
	From uint64    `json:"from"`
	To   uint64    `json:"to"`
	Why  string    `json:"why"`
	At   time.Time `json:"at"`
}

// Pass adds to the mutation, which saves the cursor behind them, that versions
// were not handled.
func (m *Mutation) Pass(p Passed) {
	value := encodeRecord(passedJSON{
		Format: recordFormat, keyText: textOf(p.Key), Life: p.Life, From: p.From, To: p.To, Why: p.Why, At: p.At.UTC(),
	})
	m.Records = append(m.Records, RecordChange{Key: aggregateRecord(passedPrefix, p.Key), Value: value, Any: true})
}

// LoadPassed returns what an aggregate's cursor last went past; ok is false if
// everything up to it was handled.
func LoadPassed(ctx context.Context, store RecordStore, name string, key msg.Key) (p Passed, ok bool, err error) {
	records, _, err := store.Records(ctx, name, aggregateRecord(passedPrefix, key))
	if err != nil || len(records) == 0 {
		return Passed{}, false, err
	}
	p, err = decodePassed(records[0])
	return p, err == nil, err
}

func decodePassed(r Record) (Passed, error) {
	var j passedJSON
	if err := decodeRecord(r, &j); err != nil {
		return Passed{}, err
	}
	return Passed{Key: j.key(), Life: j.Life, From: j.From, To: j.To, Why: j.Why, At: j.At}, nil
}
