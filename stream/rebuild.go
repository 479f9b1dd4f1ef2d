package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
)

// Rebuild is how a subscription that rebuilds another one fares, see package
// checkpoint/rebuild.
type Rebuild struct {
	// From is the predecessor.
	From  string
	State rebuild.State
	// Waiting is the number of aggregates with changes that the predecessor has not
	// handled: they wait for it, or for the cut-over.
	Waiting int
	// Replayed counts the changes delivered as replays by this process.
	Replayed uint64
	// Progress compares the stored cursors of both, as they were when it was measured
	// last, by this process; zero before the first time.
	Progress rebuild.Progress
}

// Rebuild returns how the subscription fares as a rebuild; false if it is none, or has
// been the current version since before it was opened.
func (s *Subscription) Rebuild() (Rebuild, bool) {
	if s.gate == nil {
		return Rebuild{}, false
	}
	return s.gate.stats(), true
}

// begun begins the rebuild that the options ask for, unless that was done.
func (s *Subscription) begun(ctx context.Context) error {
	from := s.opts.RebuildOf
	if from == "" {
		return nil
	}
	store, ok := s.opts.Store.(checkpoint.RecordStore)
	if !ok {
		return fmt.Errorf("stream: option RebuildOf is %q: a %T keeps no records", from, s.opts.Store)
	}
	r, err := rebuild.Load(ctx, store, s.opts.Name)
	if errors.Is(err, rebuild.ErrNone) {
		r, err = rebuild.Start(ctx, store, s.opts.Name, from, s.opts.Member)
	}
	switch {
	case err != nil:
		return fmt.Errorf("stream: rebuilding %q as %q: %w", from, s.opts.Name, err)
	case r.From != from:
		return fmt.Errorf("stream: option RebuildOf is %q: %q is a rebuild of %q", from, s.opts.Name, r.From)
	}
	return nil
}

// part finds the part of the subscription in a rebuild. A superseded one is refused,
// and so are options that a rebuild cannot have. ok tells a rebuild that waits for
// its predecessor.
func (s *Subscription) part(ctx context.Context) (r rebuild.Rebuild, ok bool, err error) {
	store, keeps := s.opts.Store.(checkpoint.RecordStore)
	if !keeps {
		return r, false, nil
	}
	r, ok, err = rebuild.Open(ctx, store, s.opts.Name)
	if err != nil {
		return r, false, fmt.Errorf("stream: opening %q: %w", s.opts.Name, err)
	}
	if !ok || !r.Gated() {
		return r, false, nil
	}
	if s.opts.Start != FromBeginning || len(s.opts.Cursors) > 0 {
		return r, false, fmt.Errorf("stream: %q is a rebuild of %q, which handles the history: options Start and Cursors must not be set", s.opts.Name, r.From)
	}
	scope, err := rebuild.ScopeOf(ctx, store, r.From)
	if err != nil {
		return r, false, fmt.Errorf("stream: predecessor of %q: %w", s.opts.Name, err)
	}
	if d, divided, err := lease.ParseScope(r.From, scope); err != nil {
		return r, false, fmt.Errorf("stream: predecessor of %q: %w", s.opts.Name, err)
	} else if divided {
		scope = d.Scope
	}
	switch want := s.opts.text(s.scope); {
	case scope == "":
		return r, false, fmt.Errorf("stream: predecessor %q of %q: %w", r.From, s.opts.Name, checkpoint.ErrDeleted)
	case scope != want:
		return r, false, fmt.Errorf("stream: %q is to take the place of %q: %w", s.opts.Name, r.From,
			&checkpoint.ScopeError{Name: r.From, Stored: scope, Wanted: want})
	}
	return r, true, nil
}

// claim acquires the checkpoint, or finds how it is divided. Everything that refuses
// the start is looked at before; what has changed until then is seen behind the claim.
func (s *Subscription) claim(ctx context.Context) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	if _, _, err := s.part(ctx); err != nil {
		return err
	}
	if err := s.acquire(ctx); err != nil {
		return err
	}
	r, gated, err := s.part(ctx)
	if err == nil && gated {
		s.gate = newGate(s, r)
	}
	return err
}

// explained adds to a refusal by the fence that a cut-over was the reason, if so.
func (s *Subscription) explained(ctx context.Context, refusal error) error {
	return rebuild.Explain(ctx, s.opts.Store, s.opts.Name, refusal)
}
