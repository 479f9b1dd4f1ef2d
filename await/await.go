package await

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
)

// Leader reads at the node that leads; *pool.View of Pool.AtLeader is one.
type Leader interface {
	Read(ctx context.Context, req *msg.ReadRequest) (*msg.ReadResponse, error)
}

// Waiters wait for versions in one checkpoint store. A Waiters is safe for
// concurrent use, and needs no Close: nothing of it runs while nobody waits.
type Waiters struct {
	store  checkpoint.Store
	leader Leader
	within func(name string, key msg.Key) bool
	hooks  Hooks
}

// Option shapes Waiters.
type Option func(*Waiters)

// Within refuses to wait for aggregates that a subscription does not follow, at
// once, with [ErrOutOfScope]. Default: none is refused, the deadline ends the wait.
func Within(contains func(name string, key msg.Key) bool) Option {
	return func(w *Waiters) { w.within = contains }
}

// New returns Waiters of a store.
func New(store checkpoint.Store, leader Leader, opts ...Option) *Waiters {
	w := &Waiters{store: store, leader: leader}
	for _, o := range opts {
		o(w)
	}
	return w
}

// ErrOutOfScope: the subscription does not follow the aggregate.
var ErrOutOfScope = errors.New("await: the subscription does not follow the aggregate")

// NotHandledError: the cursor went past the version without its being handled.
// The version will not be handled any more; the read model is as it would be
// without it.
type NotHandledError struct {
	checkpoint.Passed
}

// Error names the versions and the reason.
func (e *NotHandledError) Error() string {
	return fmt.Sprintf("await: versions %d to %d of %v were not handled: %s", e.From, e.To, e.Key, e.Why)
}

// Reason is why a wait was in vain.
type Reason string

// The reasons.
const (
	// Behind: the consumer has not come so far.
	Behind Reason = "behind"
	// Parked: the aggregate was set aside before the version.
	Parked Reason = "parked"
	// Stopped: a failure stopped the consumer.
	Stopped Reason = "stopped"
	// Deleted: the consumer has handled that the aggregate was deleted.
	Deleted Reason = "deleted"
	// OtherLife: what is stored belongs to an earlier life of the aggregate.
	OtherLife Reason = "of an earlier life"
	// Unowned: nobody has ever consumed under the name, or, of a subscription with
	// leases, nobody owns the partition of the aggregate at present.
	Unowned Reason = "nobody consumes"
	// Superseded: another version of the consumer has taken its place by a cut-over.
	Superseded Reason = "superseded by another version"
)

// LateError: the context ended before the version was handled. LateError unwraps
// to the context's cause.
type LateError struct {
	Name    string
	Key     msg.Key
	Version uint64
	// Stored is where the consumer stands.
	Stored checkpoint.Cursor
	Reason Reason
	// Err is the context's cause, joined with the last failure to find out.
	Err error
}

// Error names both versions and the reason.
func (e *LateError) Error() string {
	return fmt.Sprintf("await: version %d of %v is not handled by %q, which stands at %v (%s): %v",
		e.Version, e.Key, e.Name, e.Stored, e.Reason, e.Err)
}

// Unwrap returns the context's cause.
func (e *LateError) Unwrap() error { return e.Err }

// Await returns nil once the consumer of that name has handled the version of the
// aggregate, and its effect is committed. Version 0 is satisfied at once. When ctx
// ends first it returns a [*LateError] that says why: give it a deadline. A version
// that was passed over is a [*NotHandledError]. A store that fails is asked again.
func (w *Waiters) Await(ctx context.Context, name string, key msg.Key, version uint64) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	if w.within != nil && !w.within(name, key) {
		return fmt.Errorf("%w: %v by %q", ErrOutOfScope, key, name)
	}
	began := time.Now()
	err := w.wait(ctx, name, key, version)
	if w.hooks.Ended != nil {
		w.hooks.Ended(ctx, Ended{Name: name, Key: key, Version: version, Duration: time.Since(began), Err: err})
	}
	return err
}

// wait is Await once name and scope are found right.
func (w *Waiters) wait(ctx context.Context, name string, key msg.Key, version uint64) error {
	if version == 0 {
		return nil
	}
	seat := join(w.store, name, key, version)
	defer seat.hub.leave(name, seat)
	v := verification{leader: w.leader, key: key}
	var failed error
	for {
		select {
		case <-ctx.Done():
			return w.late(ctx, name, key, version, seat.cursor(), v.otherLife, failed)
		case <-seat.news:
		}
		cursor, err := seat.look()
		if failed = err; err != nil || cursor.Deleted || cursor.Version < version {
			continue
		}
		satisfied, err := v.holds(ctx, cursor)
		if failed = err; err != nil {
			seat.again()
			continue
		}
		if satisfied {
			return w.passed(ctx, name, key, version, cursor)
		}
	}
}

// AwaitOrStale is Await for those who rather show old data than none: when ctx
// ends first it reports stale, and no error.
func (w *Waiters) AwaitOrStale(ctx context.Context, name string, key msg.Key, version uint64) (stale bool, err error) {
	err = w.Await(ctx, name, key, version)
	if _, late := errors.AsType[*LateError](err); late {
		return true, nil
	}
	return false, err
}

// AwaitToken waits for all that a token names.
func (w *Waiters) AwaitToken(ctx context.Context, name string, t Token) error {
	for _, p := range t {
		if err := w.Await(ctx, name, p.Key, p.Version); err != nil {
			return err
		}
	}
	return nil
}

// passed reports a version that was passed over.
func (w *Waiters) passed(ctx context.Context, name string, key msg.Key, version uint64, cursor checkpoint.Cursor) error {
	store, ok := w.store.(checkpoint.RecordStore)
	if !ok {
		return nil
	}
	p, ok, err := checkpoint.LoadPassed(ctx, store, name, key)
	if err != nil {
		return fmt.Errorf("await: looking whether version %d of %v was passed over: %w", version, key, err)
	}
	if ok && p.Life == cursor.Life && p.From <= version && version <= p.To {
		return &NotHandledError{p}
	}
	return nil
}

// late says why a wait was in vain.
func (w *Waiters) late(ctx context.Context, name string, key msg.Key, version uint64, cursor checkpoint.Cursor, otherLife bool, failed error) error {
	e := &LateError{Name: name, Key: key, Version: version, Stored: cursor, Reason: Behind, Err: context.Cause(ctx)}
	if failed != nil {
		e.Err = errors.Join(e.Err, failed)
	}
	switch {
	case cursor.Deleted:
		e.Reason = Deleted
	case otherLife:
		e.Reason = OtherLife
	}
	if store, ok := w.store.(checkpoint.RecordStore); ok {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
		defer cancel()
		if reason := condition(ctx, store, name, key); reason != "" {
			e.Reason = reason
		}
	}
	return e
}

// condition is what the records tell of a consumer that did not handle a version in time;
// empty for nothing.
func condition(ctx context.Context, store checkpoint.RecordStore, name string, key msg.Key) Reason {
	owner, err := store.Describe(ctx, name)
	if err != nil {
		return ""
	}
	if !owner.Claimed {
		return Unowned
	}
	if _, superseded, err := checkpoint.ParseSupersession(name, owner.Scope); err == nil && superseded {
		return Superseded
	}
	if _, err := checkpoint.LoadParked(ctx, store, name, key); err == nil {
		return Parked
	}
	p, err := lease.ReadProgress(ctx, store, name)
	if err != nil {
		return ""
	}
	partition := uint32(0) // of one that is not divided
	if p.Definition.Generation != 0 {
		partition = p.Definition.Of(key)
	}
	switch {
	case p.Stopped.Has(partition):
		return Stopped
	case p.Unowned.Has(partition) && !alone(store):
		return Unowned
	}
	return ""
}

// alone reports whether a single process has the store open: its members write no
// heartbeats, which others would read, so that nothing tells whether a partition is owned.
func alone(store checkpoint.Store) bool {
	exclusive, ok := store.(checkpoint.Exclusive)
	return ok && exclusive.Exclusive()
}
