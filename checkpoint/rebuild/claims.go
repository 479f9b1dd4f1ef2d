package rebuild

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// settle makes the claims that a stored state calls for and may be repeated by anybody
// at any time: a claim that was overtaken by another step is recognised by its token,
// see restore.
func settle(ctx context.Context, store checkpoint.RecordStore, r Rebuild) error {
	switch r.State {
	case Building:
		return restore(ctx, store, r.Name)
	case Draining:
		if err := restore(ctx, store, r.Name); err != nil {
			return err
		}
		return supersede(ctx, store, r.From, r.Name, r.Token)
	case Superseded:
		if err := supersede(ctx, store, r.Name, r.From, r.Token); err != nil && !errors.Is(err, checkpoint.ErrDeleted) {
			return err // one that was never opened needs no fence
		}
		return restore(ctx, store, r.From)
	}
	return nil
}

// supersede fences all owners of a subscription, and has nobody claim it.
func supersede(ctx context.Context, store checkpoint.RecordStore, name, by string, token checkpoint.Token) error {
	for {
		o, err := store.Describe(ctx, name)
		if err != nil {
			return err
		}
		if !o.Claimed {
			return fmt.Errorf("rebuild: superseding %q: %w", name, checkpoint.ErrDeleted)
		}
		next := checkpoint.Supersession{By: by, Token: token, Scope: o.Scope}
		before, superseded, err := checkpoint.ParseSupersession(name, o.Scope)
		switch {
		case err != nil:
			return err
		case superseded && before.By != by:
			return &checkpoint.SupersededError{Name: name, By: before.By}
		case superseded && before.Token == token:
			return nil
		case superseded:
			next.Scope = before.Scope
		}
		claim := checkpoint.Claim{Name: name, Scope: next.ScopeText(), Replaces: []string{o.Scope}}
		if _, err = store.Acquire(ctx, claim); err == nil {
			// Members that have nothing to save hear of it. Without the signal, after a
			// kill here, they would at their next save.
			return checkpoint.Signal(ctx, store, name)
		}
		if !raced(err) {
			return err
		}
	}
}

// restore takes back a supersession that nobody stands for any more.
func restore(ctx context.Context, store checkpoint.RecordStore, name string) error {
	for {
		o, err := store.Describe(ctx, name)
		if err != nil {
			return err
		}
		s, superseded, err := checkpoint.ParseSupersession(name, o.Scope)
		if err != nil || !superseded {
			return err
		}
		// After the scope: who supersedes it anew has another token, which the claim
		// below does not replace.
		all, err := List(ctx, store)
		if err != nil {
			return err
		}
		if all.rightful(name, s) {
			return nil
		}
		claim := checkpoint.Claim{Name: name, Scope: s.Scope, Replaces: []string{o.Scope}}
		if _, err := store.Acquire(ctx, claim); !raced(err) {
			return err
		}
	}
}

// raced reports whether the scope was another one by the time of a claim.
func raced(err error) bool {
	_, scope := errors.AsType[*checkpoint.ScopeError](err)
	_, superseded := errors.AsType[*checkpoint.SupersededError](err)
	return scope || superseded
}

// Open is called before a subscription is claimed. Open does what steps that were
// killed have left to do for it, and returns its rebuild; ok is false for a
// subscription that is none. Open refuses a superseded one with a
// [*checkpoint.SupersededError].
func Open(ctx context.Context, store checkpoint.RecordStore, name string) (r Rebuild, ok bool, err error) {
	all, err := List(ctx, store)
	if err != nil || len(all) == 0 {
		return Rebuild{}, false, err
	}
	if by, removed := all.removedBy(name); removed {
		return Rebuild{}, false, &checkpoint.SupersededError{Name: name, By: by}
	}
	r, ok = all[name]
	if ok && r.State == Superseded {
		return r, true, errors.Join(settle(ctx, store, r), &checkpoint.SupersededError{Name: name, By: r.From})
	}
	if ok && r.Gated() {
		return r, true, settle(ctx, store, r)
	}
	return r, ok, restore(ctx, store, name)
}

// Explain returns the [*checkpoint.SupersededError] of an owner that was fenced by a
// cut-over, joined to the refusal; any other error as it is.
func Explain(ctx context.Context, store checkpoint.Store, name string, refusal error) error {
	records, ok := store.(checkpoint.RecordStore)
	if !ok || !errors.Is(refusal, checkpoint.ErrFenced) || errors.Is(refusal, checkpoint.ErrSuperseded) {
		return refusal
	}
	o, err := records.Describe(ctx, name)
	if err != nil {
		return refusal
	}
	s, superseded, err := checkpoint.ParseSupersession(name, o.Scope)
	if err != nil || !superseded {
		return refusal
	}
	return fmt.Errorf("%w (%w)", &checkpoint.SupersededError{Name: name, By: s.By}, refusal)
}

// ScopeOf returns the scope of a subscription, whether it is superseded or not; empty
// for one that does not exist.
func ScopeOf(ctx context.Context, store checkpoint.RecordStore, name string) (string, error) {
	o, err := store.Describe(ctx, name)
	if err != nil {
		return "", err
	}
	if s, superseded, err := checkpoint.ParseSupersession(name, o.Scope); err != nil || superseded {
		return s.Scope, err
	}
	return o.Scope, nil
}
