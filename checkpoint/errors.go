package checkpoint

import (
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// ErrFenced: somebody else acquired the subscription since, it was deleted, or
// the owner is none of this store's. The save was not applied. The caller must
// stop: what it goes on doing is done by the new owner too.
var ErrFenced = errors.New("checkpoint: owner superseded")

// ErrDeleted: the subscription was deleted, or never claimed. An owner of a
// deleted subscription is fenced, too.
var ErrDeleted = errors.New("checkpoint: subscription deleted")

// ErrApplied: what a save with Compare was to store is stored already. Its effect
// must not happen again.
var ErrApplied = errors.New("checkpoint: already applied")

// ErrFailed: the store could not tell whether an earlier change reached the
// storage, or could not undo half of one, and refuses further changes. Close it
// and open it again: what is stored then is the truth.
var ErrFailed = errors.New("checkpoint: store failed earlier")

// ErrClosed: the store was closed.
var ErrClosed = errors.New("checkpoint: store closed")

// IsRefusal reports whether the error is a store's answer, decided on what is
// stored, and not a failure: the same call will be refused again unless somebody
// changes what is stored.
func IsRefusal(err error) bool {
	if errors.Is(err, ErrFenced) || errors.Is(err, ErrDeleted) || errors.Is(err, ErrApplied) || errors.Is(err, ErrClosed) {
		return true
	}
	var scope *ScopeError
	var back *RegressionError
	var revision *RevisionError
	var limit *LimitError
	var name *NameError
	var cursor *CursorError
	var record *RecordError
	var capacity *CapacityError
	return errors.As(err, &capacity) || errors.As(err, &scope) || errors.As(err, &back) || errors.As(err, &revision) || errors.As(err, &limit) ||
		errors.As(err, &name) || errors.As(err, &cursor) || errors.As(err, &record)
}

// FencedError is the [ErrFenced] of one save; it matches it with errors.Is.
type FencedError struct {
	// Owner is the one that was refused.
	Owner Owner
	// Newest is the epoch the store holds, 0 when it knows no such subscription,
	// or no such partition.
	Newest uint64
	// Deleted tells that the subscription was deleted and not claimed again. The
	// error then matches [ErrDeleted], too.
	Deleted bool
}

// Error names the subscription and both epochs.
func (e *FencedError) Error() string {
	what := fmt.Sprintf("%q", e.Owner.Name)
	if e.Owner.Leased {
		what = fmt.Sprintf("partition %d of %q", e.Owner.Partition, e.Owner.Name)
	}
	switch {
	case e.Deleted:
		return fmt.Sprintf("checkpoint: owner of %s superseded: the subscription was deleted", what)
	case e.Newest == e.Owner.Epoch && e.Newest > 0:
		return fmt.Sprintf("checkpoint: owner of %s superseded: epoch %d was handed out twice, and the newest has another token", what, e.Newest)
	}
	return fmt.Sprintf("checkpoint: owner of %s superseded: it holds epoch %d, the newest is %d", what, e.Owner.Epoch, e.Newest)
}

// Is reports whether target is ErrFenced or, for a deleted one, ErrDeleted.
func (e *FencedError) Is(target error) bool {
	return target == ErrFenced || e.Deleted && target == ErrDeleted
}

// ScopeError refuses a claim whose scope is not the stored one.
type ScopeError struct {
	Name   string
	Stored string
	Wanted string
}

// Error names the subscription and both scopes, long ones cut.
func (e *ScopeError) Error() string {
	return fmt.Sprintf("checkpoint: subscription %q has scope %s, claimed with %s; adopt the new scope or choose another name",
		e.Name, brief(e.Stored), brief(e.Wanted))
}

// RegressionError refuses a save that would move a cursor backwards or, with
// Compare, one that starts from another cursor than the stored one. The other
// entries of the save can be saved without it.
type RegressionError struct {
	Key     msg.Key
	Stored  Cursor
	Offered Cursor
	// From is the entry's.
	From Cursor
}

// Error names the aggregate and the cursors.
func (e *RegressionError) Error() string {
	if e.Offered.Compare(e.Stored) > 0 {
		return fmt.Sprintf("checkpoint: cursor of %v stands at %v: a save from %v to %v would leave out what is between", e.Key, e.Stored, e.From, e.Offered)
	}
	return fmt.Sprintf("checkpoint: cursor of %v would go back from %v to %v", e.Key, e.Stored, e.Offered)
}

// AppliedError is the [ErrApplied] of one entry; it matches it with errors.Is.
// The other entries of the save can be saved without it.
type AppliedError struct {
	Key     msg.Key
	Stored  Cursor
	Offered Cursor
}

// Error names the aggregate and both cursors.
func (e *AppliedError) Error() string {
	return fmt.Sprintf("checkpoint: cursor of %v stands at %v: what leads to %v was already applied", e.Key, e.Stored, e.Offered)
}

// Is reports whether target is ErrApplied.
func (e *AppliedError) Is(target error) bool { return target == ErrApplied }

// CursorError refuses a cursor that no store keeps; see [Cursor.Storable].
type CursorError struct {
	Key    msg.Key
	Cursor Cursor
}

// Error names the aggregate, the cursor and the limit.
func (e *CursorError) Error() string {
	return fmt.Sprintf("checkpoint: cursor of %v is at %v; lives and versions end below 9223372036854775808 (2⁶³)", e.Key, e.Cursor)
}

// RevisionError refuses a mutation that was decided on another record than the
// stored one: read it again and decide anew.
type RevisionError struct {
	Name string
	Key  string
	// Stored is the revision the store holds, 0 where there is no such record.
	Stored uint64
	Wanted uint64
}

// Error names the record and both revisions.
func (e *RevisionError) Error() string {
	return fmt.Sprintf("checkpoint: record %q of %q is of revision %x, not %x", e.Key, e.Name, e.Stored, e.Wanted)
}

// LimitError refuses a mutation that would add records beyond its limit.
type LimitError struct {
	Name   string
	Prefix string
	// Stored is the number of records there are.
	Stored int
	Limit  int
}

// Error names the subscription, the prefix, the number and the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("checkpoint: %q has %d records below %q, the limit is %d", e.Name, e.Stored, e.Prefix, e.Limit)
}

// RecordError refuses a record that no store keeps.
type RecordError struct {
	Key    string
	Reason string
}

// Error names the record and what is wrong with it.
func (e *RecordError) Error() string {
	return fmt.Sprintf("checkpoint: record %s: %s", brief(e.Key), e.Reason)
}

// DamagedError: what is stored cannot be what was written.
type DamagedError struct {
	// Where names the file, or the place in a database.
	Where string
	// Offset is the position of the damage in a file, -1 where there is none.
	Offset int64
	Reason string
}

// Error names the place and the reason.
func (e *DamagedError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("checkpoint: %s is damaged: %s", e.Where, e.Reason)
	}
	return fmt.Sprintf("checkpoint: %s is damaged at byte %d: %s", e.Where, e.Offset, e.Reason)
}

// VersionError: the format on storage is of another version than this code
// reads and writes. Nothing was changed.
type VersionError struct {
	Where string
	// Found is the version on storage, Supported the only one this code knows.
	Found     uint64
	Supported uint64
}

// Error names the place and both versions.
func (e *VersionError) Error() string {
	return fmt.Sprintf("checkpoint: %s has format %d, this release reads format %d", e.Where, e.Found, e.Supported)
}

// LockedError: the folder of a file store is open elsewhere, in another process
// or in this one.
type LockedError struct {
	// Path is the lock file's.
	Path string
}

// Error names the lock file.
func (e *LockedError) Error() string {
	return fmt.Sprintf("checkpoint: %s is locked: the store is open elsewhere", e.Path)
}

// SizeError refuses a save of more entries than one change of the store holds.
type SizeError struct {
	Name    string
	Entries int
	Limit   int
}

// Error names the subscription, the entries offered and the limit.
func (e *SizeError) Error() string {
	return fmt.Sprintf("checkpoint: a save of %d cursors of %q, the limit is %d", e.Entries, e.Name, e.Limit)
}

// CapacityError refuses a save that would give a subscription more cursors than
// the store holds for one.
type CapacityError struct {
	Name string
	// Cursors is the number there would be.
	Cursors int
	Limit   int
}

// Error names the subscription, the number and the limit.
func (e *CapacityError) Error() string {
	return fmt.Sprintf("checkpoint: %q would have %d cursors, the limit is %d", e.Name, e.Cursors, e.Limit)
}

// NameError refuses a subscription name.
type NameError struct {
	Name   string
	Reason string
}

// Error names the name and what is wrong with it.
func (e *NameError) Error() string {
	return fmt.Sprintf("checkpoint: subscription name %s: %s", brief(e.Name), e.Reason)
}

// ScopeTextError refuses a scope that cannot be stored.
type ScopeTextError struct {
	Name   string
	Reason string
}

// Error names the subscription and what is wrong with its scope.
func (e *ScopeTextError) Error() string {
	return fmt.Sprintf("checkpoint: scope of subscription %q: %s", e.Name, e.Reason)
}

// brief quotes text, cut to what a log line bears.
func brief(s string) string {
	const limit = 200
	if len(s) > limit {
		return fmt.Sprintf("%q… (%d bytes)", s[:limit], len(s))
	}
	return fmt.Sprintf("%q", s)
}
