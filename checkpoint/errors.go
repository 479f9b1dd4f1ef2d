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

// ErrFailed: the store could not tell whether an earlier change reached the
// storage, or could not undo half of one, and refuses further changes. Close it
// and open it again: what is stored then is the truth.
var ErrFailed = errors.New("checkpoint: store failed earlier")

// ErrClosed: the store was closed.
var ErrClosed = errors.New("checkpoint: store closed")

// FencedError is the [ErrFenced] of one save; it matches it with errors.Is.
type FencedError struct {
	// Name and Epoch are the owner's.
	Name  string
	Epoch uint64
	// Newest is the epoch the store holds, 0 when it knows no such subscription.
	Newest uint64
}

// Error names the subscription and both epochs.
func (e *FencedError) Error() string {
	return fmt.Sprintf("checkpoint: owner of %q superseded: it holds epoch %d, the newest is %d", e.Name, e.Epoch, e.Newest)
}

// Is reports whether target is ErrFenced.
func (e *FencedError) Is(target error) bool { return target == ErrFenced }

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

// RegressionError refuses a save that would move a cursor backwards.
type RegressionError struct {
	Key     msg.Key
	Stored  Cursor
	Offered Cursor
}

// Error names the aggregate and both cursors.
func (e *RegressionError) Error() string {
	return fmt.Sprintf("checkpoint: cursor of %v would go back from %v to %v", e.Key, e.Stored, e.Offered)
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
