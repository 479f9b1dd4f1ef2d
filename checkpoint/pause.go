package checkpoint

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	pausedName   = "paused"
	pausedPrefix = "paused/"
)

// Pause is a standing request that nothing more of a subscription, or of one
// aggregate of it, is handled.
type Pause struct {
	// Key is the aggregate; the zero Key means the whole subscription.
	Key msg.Key
	// By names who asked, for people; At is when.
	By string
	At time.Time
}

type pauseJSON struct {
	Format int `json:"format"`
	keyText
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

func decodePause(r Record) (Pause, error) {
	var j pauseJSON
	if err := decodeRecord(r, &j); err != nil {
		return Pause{}, err
	}
	return Pause{Key: j.key(), By: j.By, At: j.At}, nil
}

func pauseRecord(key msg.Key) string {
	if key == (msg.Key{}) {
		return pausedName
	}
	return aggregateRecord(pausedPrefix, key)
}

// RequestPause asks that nothing more of the aggregates is handled, of the whole
// subscription if there are none. Owners heed it at their next look, within one
// heartbeat. At most 1,000 keys fit one request. by names who asks.
func RequestPause(ctx context.Context, store RecordStore, name, by string, keys ...msg.Key) error {
	if len(keys) == 0 {
		keys = []msg.Key{{}}
	}
	var m Mutation
	for _, k := range keys {
		value := encodeRecord(pauseJSON{Format: recordFormat, keyText: textOf(k), By: ErrorText(errors.New(by)), At: time.Now().UTC()})
		m.Records = append(m.Records, RecordChange{Key: pauseRecord(k), Value: value, Any: true})
	}
	return request(ctx, store, name, m)
}

// RequestResume lifts the pauses of the aggregates. Without keys it lifts the
// pause of the whole subscription and restarts all its stopped partitions;
// aggregates that are paused or parked stay so.
func RequestResume(ctx context.Context, store RecordStore, name string, keys ...msg.Key) error {
	var m Mutation
	for _, k := range keys {
		m.Records = append(m.Records, RecordChange{Key: pauseRecord(k), Any: true})
	}
	if len(keys) == 0 {
		m.Records = append(m.Records, RecordChange{Key: pausedName, Any: true})
		stopped, _, err := store.Records(ctx, name, stoppedPrefix)
		if err != nil {
			return err
		}
		for _, r := range stopped {
			m.Records = append(m.Records, RecordChange{Key: r.Key, Any: true})
		}
	}
	return request(ctx, store, name, m)
}

// request applies a request and tells the owners that there is one.
func request(ctx context.Context, store RecordStore, name string, m Mutation) error {
	if err := store.Apply(ctx, name, m); err != nil {
		return err
	}
	return Signal(ctx, store, name)
}
