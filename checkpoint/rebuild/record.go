package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Prefix begins the keys of the store's records about rebuilds: "rebuild/<name>".
const Prefix = "rebuild/"

const format = 1

// State is where a rebuild stands.
type State string

// The states.
const (
	// Building: it handles history behind its predecessor, which goes on.
	Building State = "building"
	// Draining: the predecessor is fenced, and the rebuild goes up to its cursors.
	Draining State = "draining"
	// Current: the rebuild has taken the predecessor's place.
	Current State = "current"
	// Superseded: the rebuild was given up before it was current.
	Superseded State = "superseded"
)

// Rebuild is a subscription that is to take the place of another one.
type Rebuild struct {
	Name string
	// From is the predecessor.
	From  string
	State State
	// Token tells one cut-over from another; zero while building.
	Token checkpoint.Token
	// By names who brought the state about, for people. Began is when the rebuild
	// began, Since when the state did.
	By           string
	Began, Since time.Time
	// Removed tells that the predecessor was removed, see [Remove].
	Removed bool
	// Revision is of the record this was read from.
	Revision uint64
}

// Gated reports whether the rebuild waits for its predecessor.
func (r *Rebuild) Gated() bool { return r.State == Building || r.State == Draining }

type recordJSON struct {
	Format  int              `json:"format"`
	From    string           `json:"from"`
	State   State            `json:"state"`
	Token   checkpoint.Token `json:"token,omitzero"`
	By      string           `json:"by,omitempty"`
	Began   time.Time        `json:"began"`
	Since   time.Time        `json:"since"`
	Removed bool             `json:"removed,omitempty"`
}

func (r *Rebuild) encode() []byte {
	return encode(recordJSON{format, r.From, r.State, r.Token, r.By, r.Began.UTC(), r.Since.UTC(), r.Removed})
}

// Parse reads the record of a rebuild: a [*checkpoint.VersionError] for one of a later
// release, a [*checkpoint.DamagedError] for anything that is none.
func Parse(record checkpoint.Record) (Rebuild, error) {
	var j recordJSON
	if err := decode(record, &j); err != nil {
		return Rebuild{}, err
	}
	switch j.State {
	case Building, Draining, Current, Superseded:
	default:
		return Rebuild{}, &checkpoint.DamagedError{Where: "record " + record.Key, Offset: -1, Reason: fmt.Sprintf("the state is %q", j.State)}
	}
	return Rebuild{
		Name: strings.TrimPrefix(record.Key, Prefix), From: j.From, State: j.State, Token: j.Token, By: j.By,
		Began: j.Began, Since: j.Since, Removed: j.Removed, Revision: record.Revision,
	}, nil
}

// encode is for values that always have a JSON form.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("rebuild: encoding %T: %v", v, err))
	}
	return text
}

func decode(record checkpoint.Record, into any) error {
	var head struct {
		Format int `json:"format"`
	}
	err := json.Unmarshal(record.Value, &head)
	if err == nil && head.Format != format {
		return &checkpoint.VersionError{Where: "record " + record.Key, Found: uint64(max(0, head.Format)), Supported: format}
	}
	if err == nil {
		err = json.Unmarshal(record.Value, into)
	}
	if err != nil {
		return &checkpoint.DamagedError{Where: "record " + record.Key, Offset: -1, Reason: err.Error()}
	}
	return nil
}

// ErrNone: there is no rebuild of that name.
var ErrNone = errors.New("rebuild: no such rebuild")

// StateError refuses a step that the state of a rebuild does not allow.
type StateError struct {
	Name  string
	State State
	// Reason says what is in the way.
	Reason string
}

// Error names the rebuild, its state and the reason.
func (e *StateError) Error() string {
	if e.State == "" {
		return fmt.Sprintf("rebuild: %q: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("rebuild: %q is %s: %s", e.Name, e.State, e.Reason)
}

// Rebuilds are the rebuilds of one store, by name.
type Rebuilds map[string]Rebuild

// List reads the rebuilds of a store.
func List(ctx context.Context, store checkpoint.RecordStore) (Rebuilds, error) {
	records, _, err := store.Records(ctx, "", Prefix)
	if err != nil {
		return nil, fmt.Errorf("rebuild: listing: %w", err)
	}
	all := make(Rebuilds, len(records))
	for _, record := range records {
		r, err := Parse(record)
		if err != nil {
			return nil, err
		}
		all[r.Name] = r
	}
	return all, nil
}

// Load reads one rebuild; the error matches [ErrNone] if there is none.
func Load(ctx context.Context, store checkpoint.RecordStore, name string) (Rebuild, error) {
	all, err := List(ctx, store)
	if err != nil {
		return Rebuild{}, err
	}
	r, ok := all[name]
	if !ok {
		return Rebuild{}, fmt.Errorf("%w: %q", ErrNone, name)
	}
	return r, nil
}

// rightful reports whether somebody stands for the supersession of name: if nobody
// does, it was left by a step that was overtaken, and is to be taken back.
func (all Rebuilds) rightful(name string, s checkpoint.Supersession) bool {
	mine, known := all[name]
	theirs, theirsKnown := all[s.By]
	switch {
	case known && mine.Gated() && mine.From == s.By:
		return false // it is rolled back to, or begun again
	case theirsKnown && theirs.From == name && (theirs.State == Draining || theirs.State == Current):
		return theirs.Token == s.Token
	case known && mine.State == Superseded && mine.From == s.By:
		return true
	}
	return !known && !theirsKnown
}

// removedBy returns the current rebuild that name was removed for.
func (all Rebuilds) removedBy(name string) (by string, removed bool) {
	if mine, known := all[name]; known && mine.Gated() {
		return "", false // built anew
	}
	for _, r := range all {
		if r.From == name && r.State == Current && r.Removed {
			return r.Name, true
		}
	}
	return "", false
}
