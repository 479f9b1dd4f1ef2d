package checkpoint

import (
	"fmt"
	"slices"
)

// Mutation is a change of one subscription that is applied whole or not at all.
type Mutation struct {
	// Owners are the claims that must be the newest: the fences. One is usual; the
	// owner of several partitions may save cursors of all of them at once. The
	// fences are held shared, so that the saves of one owner do not wait for each
	// other, and until the transaction ends; a new claim waits for them.
	Owners []Owner
	// Exclusive holds the fences exclusively instead: it waits until every save
	// under way has ended, and none is under way until the transaction ends. The
	// inquiry after a commit of unknown outcome needs it.
	Exclusive bool
	// Entries are the cursors to save; they need an owner.
	Entries []Entry
	// Records are the changes of records, each of another key.
	Records []RecordChange
	// Limit, if not nil, bounds the records below a prefix.
	Limit *RecordLimit
}

// maxRecords bounds the record changes of one mutation.
const maxRecords = 1_000

// Check returns why no store can apply the mutation to the subscription name,
// whatever it holds: a [*NameError], [*CursorError] or [*RecordError], or a
// plain error for a mutation that contradicts itself.
func (m *Mutation) Check(name string) error {
	if name != "" || len(m.Owners) > 0 || len(m.Entries) > 0 {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	for _, o := range m.Owners {
		if o.Name != name {
			return fmt.Errorf("checkpoint: an owner of %s cannot change %s", brief(o.Name), brief(name))
		}
	}
	switch {
	case len(m.Owners) == 0 && (len(m.Entries) > 0 || m.Exclusive):
		return fmt.Errorf("checkpoint: a mutation of %q saves cursors or holds the fence without an owner", name)
	case len(m.Records) > maxRecords:
		return fmt.Errorf("checkpoint: a mutation of %d records of %q, the limit is %d", len(m.Records), name, maxRecords)
	}
	if err := checkEntries(m.Entries); err != nil {
		return err
	}
	seen := make(map[string]bool, len(m.Records))
	for i := range m.Records {
		c := &m.Records[i]
		if err := c.check(); err != nil {
			return err
		}
		if seen[c.Key] {
			return &RecordError{Key: c.Key, Reason: "changed twice in one mutation"}
		}
		seen[c.Key] = true
	}
	return nil
}

func checkEntries(entries []Entry) error {
	for i := range entries {
		e := &entries[i]
		if !e.Cursor.Storable() {
			return &CursorError{Key: e.Key, Cursor: e.Cursor}
		}
		if e.Compare && !e.From.Storable() {
			return &CursorError{Key: e.Key, Cursor: e.From}
		}
	}
	return nil
}

// Stored is what a store holds of what a mutation touches, read so that nobody
// can change it before the mutation is applied.
type Stored struct {
	Ownership Ownership
	// Partitions are parallel to the mutation's owners: the value of the
	// partition's record, nil if there is none or the owner is not leased.
	Partitions [][]byte
	// Cursors and Records are parallel to the mutation's entries and record
	// changes; a nil record is one that does not exist.
	Cursors []Cursor
	Records [][]byte
	// Limited counts the records below the limit's prefix.
	Limited int
}

// Outcome is what a store has to write.
type Outcome struct {
	// Moved has one entry for each key whose cursor moves.
	Moved []Entry
	// Records are the changes that alter a record, in the mutation's order.
	Records []RecordChange
}

func (o *Outcome) empty() bool { return len(o.Moved) == 0 && len(o.Records) == 0 }

// Decide is the rule of Apply, which every store shares: what a mutation of the
// subscription name changes, given what is stored, or why it is refused. Decide
// looks at the fence first and is pure; its result may alias the mutation.
func (m *Mutation) Decide(name string, stored Stored) (Outcome, error) {
	if err := m.Fence(name, stored.Ownership, stored.Partitions); err != nil {
		return Outcome{}, err
	}
	moved, err := Advance(m.Entries, stored.Cursors)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Moved: moved}
	added := 0
	for i := range m.Records {
		c := &m.Records[i]
		changes, err := c.decide(name, stored.Records[i])
		if err != nil {
			return Outcome{}, err
		}
		if !changes {
			continue
		}
		out.Records = append(out.Records, *c)
		if m.Limit != nil && m.Limit.counts(c.Key) {
			switch {
			case stored.Records[i] == nil:
				added++
			case c.Value == nil:
				added--
			}
		}
	}
	if m.Limit != nil {
		if err := m.Limit.check(name, stored.Limited, added); err != nil {
			return Outcome{}, err
		}
	}
	return out, nil
}

// Fence is the part of Decide that needs no cursor and no record: a mutation
// with owners needs their claims to be the newest, one without needs the
// subscription to exist, and the store's own records need nothing.
func (m *Mutation) Fence(name string, stored Ownership, partitions [][]byte) error {
	for i, o := range m.Owners {
		if err := stored.Check(o, partitions[i]); err != nil {
			return err
		}
	}
	if len(m.Owners) == 0 && name != "" && !stored.Claimed {
		return fmt.Errorf("checkpoint: changing %q: %w", name, ErrDeleted)
	}
	return nil
}

// Adds reports whether the mutation may add a record, for stores that must
// prevent others from adding meanwhile.
func (m *Mutation) Adds() bool {
	return slices.ContainsFunc(m.Records, func(c RecordChange) bool {
		return c.Value != nil && (c.Any || c.Revision == 0)
	})
}
