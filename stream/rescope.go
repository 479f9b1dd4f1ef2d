package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// Add makes the running subscription follow more: aggregates, types or
// organisations. Its former scope goes on without a gap. The subscription
// leaves Live, catches up with what is new and delivers another CaughtUp. Adding
// what is followed already does nothing.
//
// Add returns once notifications of the new members are asked for; ctx bounds
// that. The checkpoint keeps the text of the scope it was opened with: a later
// Open with the larger scope needs Options.AdoptScope.
func (s *Subscription) Add(ctx context.Context, more Scope) error {
	return s.rescope(ctx, func(scope Scope) (Scope, error) {
		return Union(scope, more), more.check()
	})
}

// Remove makes the running subscription follow less: members named when it was
// opened, or added, each as it was named. Nothing of them is delivered once it
// has returned, but cursors of changes that were taken before may still be
// committed. A member that is added again later resumes at its stored cursor, and
// repeats what was delivered before and not stored by then: who stores cursors
// together with effects does so before adding a member again.
// With the last member gone the subscription stays Live and delivers nothing.
// Removing what is no member fails and changes nothing.
func (s *Subscription) Remove(ctx context.Context, less Scope) error {
	return s.rescope(ctx, func(scope Scope) (Scope, error) {
		if rest := Union(less, scope.Without(less)); rest.String() != scope.String() || scope.all && !less.all {
			return scope, fmt.Errorf("stream: removing %v: not all of it is a member of the scope, %v", less, scope)
		}
		return scope.Without(less), nil
	})
}

func (s *Subscription) rescope(ctx context.Context, change func(Scope) (Scope, error)) error {
	s.rescoping.Lock()
	defer s.rescoping.Unlock()
	scope := s.Scope()
	next, err := change(scope)
	if err != nil || next.String() == scope.String() {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("stream: changing the scope of %q: %w", s.opts.Name, err)
	}
	if !s.feed(func(e *engine.Engine, now time.Time) {
		s.mu.Lock()
		s.scope, s.left = next, Union(s.left, scope.Without(next))
		s.mu.Unlock()
		s.box.restrict(s.opts.contains(next))
		s.executor.follow(next)
		e.Rescope(now, s.opts.contains(next), s.opts.explicit(next), len(s.executor.filters))
	}) {
		return fmt.Errorf("stream: changing the scope of %q: %w", s.opts.Name, context.Cause(s.ctx))
	}
	s.logger.Info("scope changed, catching up with it", "scope", next.String())
	return nil
}
