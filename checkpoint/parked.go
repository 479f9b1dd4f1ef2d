package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// DefaultMaxParked is how many aggregates of a subscription may be parked unless
// told otherwise.
const DefaultMaxParked = 1000

const parkedPrefix = "parked/"

// Parked is an aggregate that was set aside: its handler failed for good, its
// cursor is frozen, and nothing of it is handled until it is released. Nothing
// of the event is kept but the place and the reason.
type Parked struct {
	Key msg.Key
	// Life and Version are of the change that could not be handled.
	Life    uint64
	Version uint64
	// Kind is that change's, in a word of whoever parks; empty for a batch.
	Kind string
	// Cursor is the frozen one, which lies before that change.
	Cursor Cursor
	// Attempts counts how often the change was handled in vain.
	Attempts     int
	FirstFailure time.Time
	LastFailure  time.Time
	// Error is the last failure; see [ErrorText].
	Error string
	// Request is what somebody asks of the owner, nil if nothing.
	Request *ParkedRequest
	// Revision is of the record this was read from.
	Revision uint64
}

// ParkedAction is what is asked of the owner of a parked aggregate.
type ParkedAction string

const (
	// ActionRelease asks to go on at the frozen cursor, with nothing missing.
	ActionRelease ParkedAction = "release"
	// ActionSkip asks to go on behind the change that failed.
	ActionSkip ParkedAction = "skip"
)

// ParkedRequest is a request in a parked aggregate's record. The owner carries
// it out; who asks is no owner and moves no cursor.
type ParkedRequest struct {
	Action ParkedAction `json:"action"`
	// By names who asks, for people; At is when.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

// ErrNotParked: the aggregate is not parked, or no longer at the life, version
// and attempts that were named.
var ErrNotParked = errors.New("checkpoint: not parked there")

type parkedJSON struct {
	Format int `json:"format"`
	keyText
	Life         uint64         `json:"life"`
	Version      uint64         `json:"version"`
	Kind         string         `json:"kind,omitempty"`
	Cursor       Cursor         `json:"cursor"`
	Attempts     int            `json:"attempts"`
	FirstFailure time.Time      `json:"first_failure"`
	LastFailure  time.Time      `json:"last_failure"`
	Error        string         `json:"error"`
	Request      *ParkedRequest `json:"request,omitempty"`
}

func (p *Parked) encode() []byte {
	return encodeRecord(parkedJSON{
		Format: recordFormat, keyText: textOf(p.Key), Life: p.Life, Version: p.Version, Kind: p.Kind, Cursor: p.Cursor, Attempts: p.Attempts,
		FirstFailure: p.FirstFailure.UTC(), LastFailure: p.LastFailure.UTC(), Error: p.Error, Request: p.Request,
	})
}

func decodeParked(r Record) (Parked, error) {
	var j parkedJSON
	if err := decodeRecord(r, &j); err != nil {
		return Parked{}, err
	}
	if q := j.Request; q != nil && q.Action != ActionRelease && q.Action != ActionSkip {
		return Parked{}, &DamagedError{Where: "record " + brief(r.Key), Offset: -1, Reason: fmt.Sprintf("it asks for %q", q.Action)}
	}
	return Parked{
		Key: j.key(), Life: j.Life, Version: j.Version, Kind: j.Kind, Cursor: j.Cursor, Attempts: j.Attempts,
		FirstFailure: j.FirstFailure, LastFailure: j.LastFailure, Error: j.Error, Request: j.Request, Revision: r.Revision,
	}, nil
}

// Park adds to the mutation that the aggregate is parked, and no longer failing.
// With a Revision it replaces the record of that revision. The mutation is refused
// with a [*RevisionError] if the aggregate is parked otherwise already, and
// with a [*LimitError] if the subscription has max parked aggregates; 0 means
// [DefaultMaxParked].
func (m *Mutation) Park(p Parked, max int) {
	if max <= 0 {
		max = DefaultMaxParked
	}
	m.Limit = &RecordLimit{Prefix: parkedPrefix, Max: max}
	m.Records = append(m.Records, RecordChange{Key: aggregateRecord(parkedPrefix, p.Key), Value: p.encode(), Revision: p.Revision})
	m.Recovered(p.Key)
}

// Unpark adds to the mutation that the aggregate is no longer parked. The
// mutation is refused with a [*RevisionError] if the record changed since p was
// read, by another request, say: read it again.
func (m *Mutation) Unpark(p Parked) {
	m.Records = append(m.Records, RecordChange{Key: aggregateRecord(parkedPrefix, p.Key), Revision: p.Revision})
}

// ListParked yields the parked aggregates of a subscription, in no telling
// order, reading them in pages. The loop body may call the store. The first
// error ends it.
func ListParked(ctx context.Context, store RecordStore, name string) iter.Seq2[Parked, error] {
	return func(yield func(Parked, error) bool) {
		const pages = 16
		for page := range pages {
			records, _, err := store.Records(ctx, name, fmt.Sprintf("%s%x", parkedPrefix, page))
			for _, r := range records {
				p, err := decodeParked(r)
				if !yield(p, err) || err != nil {
					return
				}
			}
			if err != nil {
				yield(Parked{}, err)
				return
			}
		}
	}
}

// LoadParked returns the parked state of one aggregate; the error matches
// [ErrNotParked] if it is not parked.
func LoadParked(ctx context.Context, store RecordStore, name string, key msg.Key) (Parked, error) {
	records, _, err := store.Records(ctx, name, aggregateRecord(parkedPrefix, key))
	if err != nil {
		return Parked{}, err
	}
	if len(records) == 0 {
		return Parked{}, fmt.Errorf("checkpoint: %v of %q: %w", key, name, ErrNotParked)
	}
	return decodeParked(records[0])
}

// RequestParked asks the owner of a parked aggregate to release or to skip it,
// provided that it is still parked at the life, version and attempts of p; else
// the error matches [ErrNotParked]. A later request replaces an earlier one. The
// owner carries it out at its next look, within one heartbeat, or the next owner
// does. by names who asks.
func RequestParked(ctx context.Context, store RecordStore, name string, p Parked, action ParkedAction, by string) error {
	if action != ActionRelease && action != ActionSkip {
		return fmt.Errorf("checkpoint: parked aggregates can be asked to %q and %q, not to %q", ActionRelease, ActionSkip, action)
	}
	for {
		now, err := LoadParked(ctx, store, name, p.Key)
		if err != nil {
			return err
		}
		if now.Life != p.Life || now.Version != p.Version || now.Attempts != p.Attempts {
			return fmt.Errorf("checkpoint: %v of %q is parked at life %d version %d after %d attempts, asked for life %d version %d after %d: %w",
				p.Key, name, now.Life, now.Version, now.Attempts, p.Life, p.Version, p.Attempts, ErrNotParked)
		}
		now.Request = &ParkedRequest{Action: action, By: ErrorText(errors.New(by)), At: time.Now().UTC()}
		change := RecordChange{Key: aggregateRecord(parkedPrefix, p.Key), Value: now.encode(), Revision: now.Revision}
		err = store.Apply(ctx, name, Mutation{Records: []RecordChange{change}})
		if _, lost := errors.AsType[*RevisionError](err); lost {
			continue
		}
		if err != nil {
			return err
		}
		return Signal(ctx, store, name)
	}
}
