package checkpoint

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"
)

const (
	// MaxRecordKey is the longest key of a record, in bytes.
	MaxRecordKey = 320
	// MaxRecordValue is the longest value of a record, in bytes.
	MaxRecordValue = 64 << 10
)

// Record is a small value of a subscription, or of the store as a whole.
type Record struct {
	// Key is 1 to 320 bytes of printable UTF-8, such as "partition/0007".
	Key string
	// Value is JSON: 1 byte to 64 KiB of UTF-8 without NUL.
	Value []byte
	// Revision identifies the value; it is [RevisionOf] it.
	Revision uint64
}

// RevisionOf returns the revision of a record with this value: a hash, never 0.
// Since it depends on nothing else, it cannot repeat with another value after a
// store lost its last writes, and a caller knows that of what it wrote. A
// revision is the same in every release.
func RevisionOf(value []byte) uint64 { return max(xxh3.Hash(value), 1) }

// RecordChange is one record's part of a mutation.
type RecordChange struct {
	Key string
	// Value is the new value; nil deletes the record.
	Value []byte
	// Revision is that of the record which the change was decided on; 0 means
	// that there must be none.
	Revision uint64
	// Any lets the change be applied whatever is stored.
	Any bool
	// Check only compares the revision and changes nothing; Value must be nil.
	Check bool
}

// decide tells whether the change alters what is stored, of which nil means
// that there is none.
func (c *RecordChange) decide(name string, stored []byte) (changes bool, err error) {
	var found uint64
	if stored != nil {
		found = RevisionOf(stored)
	}
	if !c.Any && found != c.Revision {
		return false, &RevisionError{Name: name, Key: c.Key, Stored: found, Wanted: c.Revision}
	}
	if c.Check || c.Value == nil && stored == nil {
		return false, nil
	}
	return c.Value == nil || stored == nil || !bytes.Equal(c.Value, stored), nil
}

// check returns a *RecordError if no store can keep what the change says.
func (c *RecordChange) check() error {
	if err := CheckRecordKey(c.Key); err != nil {
		return err
	}
	refuse := func(format string, args ...any) error {
		return &RecordError{Key: c.Key, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.Any && c.Revision != 0:
		return refuse("a change of any revision names one")
	case c.Check && (c.Any || c.Value != nil):
		return refuse("a check changes nothing and names a revision")
	case c.Value == nil:
		return nil
	case len(c.Value) == 0:
		return refuse("the value is empty")
	case len(c.Value) > MaxRecordValue:
		return refuse("the value has %d bytes, the limit is %d", len(c.Value), MaxRecordValue)
	case !utf8.Valid(c.Value):
		return refuse("the value is not valid UTF-8")
	case bytes.IndexByte(c.Value, 0) >= 0:
		return refuse("the value contains NUL")
	}
	return nil
}

// CheckRecordKey returns a [*RecordError] unless key is 1 to 320 bytes of
// printable UTF-8, as names are.
func CheckRecordKey(key string) error {
	if reason := unprintable(key, MaxRecordKey); reason != "" {
		return &RecordError{Key: key, Reason: "its key is " + reason}
	}
	return nil
}

// RecordLimit bounds how many records a subscription has below a prefix.
type RecordLimit struct {
	// Prefix is what the keys that count begin with.
	Prefix string
	// Max is the most records there may be once the mutation is applied.
	Max int
}

// check returns a *LimitError if the mutation adds records below the prefix and
// there are more than Max then.
func (l *RecordLimit) check(name string, stored int, added int) error {
	if added > 0 && stored+added > l.Max {
		return &LimitError{Name: name, Prefix: l.Prefix, Stored: stored, Limit: l.Max}
	}
	return nil
}

func (l *RecordLimit) counts(key string) bool { return strings.HasPrefix(key, l.Prefix) }
