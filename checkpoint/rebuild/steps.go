package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Start begins the rebuild name of the subscription from, before the first process
// opens name. Starting one again that is under way, or is current, does nothing. One
// that was given up, or rolled back, begins again where it stands. by names who asks,
// for people.
//
// Start fails with [checkpoint.ErrDeleted] if from does not exist, with a
// [*checkpoint.SupersededError] if from is superseded, and with a [*StateError] if from
// is itself being built or name exists and is none of from's versions.
func Start(ctx context.Context, store checkpoint.RecordStore, name, from, by string) (Rebuild, error) {
	if err := checkNames(name, from); err != nil {
		return Rebuild{}, err
	}
	for {
		r, again, err := start(ctx, store, name, from, by)
		if err != nil || !again {
			return r, err
		}
	}
}

func checkNames(name, from string) error {
	for _, n := range []string{name, from} {
		if err := checkpoint.CheckName(n); err != nil {
			return err
		}
	}
	if name == from {
		return &StateError{Name: name, Reason: "a rebuild needs another name than its predecessor"}
	}
	return nil
}

func start(ctx context.Context, store checkpoint.RecordStore, name, from, by string) (r Rebuild, again bool, err error) {
	// The owners first: what is restored meanwhile is then among the rebuilds.
	old, err := store.Describe(ctx, from)
	if err != nil {
		return r, false, err
	}
	mine, err := store.Describe(ctx, name)
	if err != nil {
		return r, false, err
	}
	all, err := List(ctx, store)
	if err != nil {
		return r, false, err
	}
	over, superseded, err := checkpoint.ParseSupersession(name, mine.Scope)
	if err != nil {
		return r, false, err
	}
	r, known := all[name]
	prior := all[from]
	switch {
	case prior.State == Superseded:
		// Somebody gave the predecessor up, and may have been killed halfway.
		return r, false, errors.Join(settle(ctx, store, prior), &checkpoint.SupersededError{Name: from, By: prior.From})
	case superseded && !all.rightful(name, over):
		return r, true, restore(ctx, store, name)
	case known && r.Gated():
		if r.From != from {
			return r, false, &StateError{Name: name, State: r.State, Reason: fmt.Sprintf("it is a rebuild of %q, not of %q", r.From, from)}
		}
		return r, false, settle(ctx, store, r)
	case known && r.From == from && r.State == Current && !superseded:
		return r, false, nil
	case !old.Claimed:
		return r, false, fmt.Errorf("rebuild: %q cannot be rebuilt: %w", from, checkpoint.ErrDeleted)
	case prior.Gated():
		return r, false, &StateError{Name: from, State: prior.State, Reason: "a rebuild of it can begin once it is current"}
	case mine.Claimed && !(superseded && over.By == from):
		return r, false, &StateError{Name: name, Reason: fmt.Sprintf("the subscription exists and is no version that %q superseded: choose another name", from)}
	}
	s, is, err := checkpoint.ParseSupersession(from, old.Scope)
	switch {
	case err != nil:
		return r, false, err
	case is && !all.rightful(from, s):
		return r, true, restore(ctx, store, from)
	case is:
		return r, false, &checkpoint.SupersededError{Name: from, By: s.By}
	}
	now := time.Now()
	next := Rebuild{Name: name, From: from, State: Building, By: who(by), Began: now, Since: now, Revision: r.Revision}
	if next, again, err = change(ctx, store, next); err != nil || again {
		return next, again, err
	}
	return next, false, settle(ctx, store, next)
}

// who is a name as it is stored.
func who(by string) string { return checkpoint.ErrorText(errors.New(by)) }

// change stores a state over that which it was decided on; lost tells that somebody
// else was faster.
func change(ctx context.Context, store checkpoint.RecordStore, next Rebuild) (stored Rebuild, lost bool, err error) {
	value := next.encode()
	err = store.Apply(ctx, "", checkpoint.Mutation{Records: []checkpoint.RecordChange{
		{Key: Prefix + next.Name, Value: value, Revision: next.Revision},
	}})
	if _, refused := errors.AsType[*checkpoint.RevisionError](err); refused {
		return next, true, nil
	}
	if err != nil {
		return next, false, fmt.Errorf("rebuild: storing that %q is %s: %w", next.Name, next.State, err)
	}
	next.Revision = checkpoint.RevisionOf(value)
	return next, false, nil
}

// CutOver begins to put a rebuild in its predecessor's place: it fences every owner of
// the predecessor. The processes of the rebuild do the rest, see [Finish]. CutOver may
// be repeated; once the rebuild is current it does nothing.
func CutOver(ctx context.Context, store checkpoint.RecordStore, name, by string) (Rebuild, error) {
	for {
		r, err := Load(ctx, store, name)
		if err != nil {
			return r, err
		}
		switch r.State {
		case Current:
			return r, nil
		case Superseded:
			return r, &StateError{Name: name, State: r.State, Reason: "start it again first"}
		case Draining:
			return r, settle(ctx, store, r)
		}
		if err := mayDrain(ctx, store, r); err != nil {
			return r, err
		}
		r.State, r.Token, r.By, r.Since = Draining, checkpoint.NewToken(), who(by), time.Now()
		next, lost, err := change(ctx, store, r)
		if err != nil {
			return next, err
		}
		if !lost {
			return next, settle(ctx, store, next)
		}
	}
}

// mayDrain refuses a cut-over whose predecessor is gone, or another's already.
func mayDrain(ctx context.Context, store checkpoint.RecordStore, r Rebuild) error {
	old, err := store.Describe(ctx, r.From)
	if err != nil {
		return err
	}
	if !old.Claimed {
		return fmt.Errorf("rebuild: predecessor %q of %q: %w", r.From, r.Name, checkpoint.ErrDeleted)
	}
	s, superseded, err := checkpoint.ParseSupersession(r.From, old.Scope)
	if err != nil {
		return err
	}
	if superseded && s.By != r.Name {
		return &checkpoint.SupersededError{Name: r.From, By: s.By}
	}
	return nil
}

// Abort gives a rebuild up that is not current: its processes end with
// [checkpoint.ErrSuperseded], and the predecessor goes on where it was. Abort may
// be repeated.
func Abort(ctx context.Context, store checkpoint.RecordStore, name, by string) (Rebuild, error) {
	for {
		r, err := Load(ctx, store, name)
		if err != nil {
			return r, err
		}
		switch r.State {
		case Current:
			return r, &StateError{Name: name, State: r.State, Reason: "roll it back instead"}
		case Superseded:
			return r, settle(ctx, store, r)
		}
		r.State, r.Token, r.By, r.Since = Superseded, checkpoint.NewToken(), who(by), time.Now()
		next, lost, err := change(ctx, store, r)
		if err != nil {
			return next, err
		}
		if !lost {
			return next, settle(ctx, store, next)
		}
	}
}

// Rollback takes a rebuild back. One that is not current is given up, see [Abort]. Of
// a current one the predecessor becomes the rebuild: start its processes again, and cut
// over to it once it has caught up. The rebuild goes on until then. Rollback returns
// the rebuild that is under way then, or that was given up.
func Rollback(ctx context.Context, store checkpoint.RecordStore, name, by string) (Rebuild, error) {
	r, err := Load(ctx, store, name)
	switch {
	case err != nil:
		return r, err
	case r.State != Current:
		return Abort(ctx, store, name, by)
	case r.Removed:
		return r, &StateError{Name: name, State: r.State, Reason: fmt.Sprintf("its predecessor %q was removed", r.From)}
	}
	return Start(ctx, store, r.From, name, by)
}

// Remove deletes the predecessor of a current rebuild: its cursors and records. The
// predecessor can not be rolled back to any more, and who opens it ends with
// [checkpoint.ErrSuperseded]. Tables of the old version are the caller's.
func Remove(ctx context.Context, store checkpoint.RecordStore, name, by string) (Rebuild, error) {
	for {
		r, err := Load(ctx, store, name)
		if err != nil {
			return r, err
		}
		if r.State != Current {
			return r, &StateError{Name: name, State: r.State, Reason: "the predecessor of a current rebuild can be removed"}
		}
		all, err := List(ctx, store)
		if err != nil {
			return r, err
		}
		if back, known := all[r.From]; known && back.Gated() {
			return r, &StateError{Name: r.From, State: back.State, Reason: fmt.Sprintf("%q is being rolled back to it", name)}
		}
		if !r.Removed {
			// First: from now on nobody opens it.
			r.Removed, r.By = true, who(by)
			next, lost, err := change(ctx, store, r)
			if err != nil {
				return next, err
			}
			if lost {
				continue
			}
			r = next
		}
		return r, store.Delete(ctx, r.From)
	}
}

// Finish makes a draining rebuild current. The caller knows that it stands at its
// predecessor's cursors: see [Done]. Finish returns false if the state changed
// meanwhile.
func Finish(ctx context.Context, store checkpoint.RecordStore, r Rebuild) (Rebuild, bool, error) {
	if r.State != Draining {
		return r, false, &StateError{Name: r.Name, State: r.State, Reason: "only a draining rebuild becomes current"}
	}
	r.State, r.Since = Current, time.Now()
	next, lost, err := change(ctx, store, r)
	return next, err == nil && !lost, err
}
