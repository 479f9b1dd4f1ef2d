package stream

import (
	"context"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// contains tells what a subscription with these options follows of a scope.
func (o Options) contains(scope Scope) func(msg.Key) bool {
	if o.Range.Whole() {
		return scope.Contains
	}
	return func(key msg.Key) bool { return scope.Contains(key) && o.Range.Contains(key) }
}

// explicit are the single aggregates they follow of a scope.
func (o Options) explicit(scope Scope) []msg.Key {
	keys := scope.explicit()
	if o.Range.Whole() {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), func(key msg.Key) bool { return !o.Range.Contains(key) })
}

// adopt stores first cursors, one save at a time.
func (x *executor) adopt(entries []checkpoint.Entry) {
	x.adopting = append(x.adopting, entries...)
	if x.storing || len(x.adopting) == 0 {
		return
	}
	x.storing = true
	x.request(func(ctx context.Context) (err error) {
		first := x.gather(ctx)
		if x.s.member != nil {
			if first, err = x.firstCursors(ctx, first); err != nil {
				return err
			}
		}
		return x.s.Commit(ctx, first)
	}, func(err error) {
		if err != nil && !settled(err) {
			return // the subscription has ended
		}
		x.s.feed(func(*engine.Engine, time.Time) {
			x.storing = false
			x.adopt(nil)
		})
	})
}

// gathering is how long first cursors are gathered: a save costs as much for one as for
// hundreds.
const gathering = time.Millisecond

// gather returns the first cursors that are to be stored by now.
func (x *executor) gather(ctx context.Context) []checkpoint.Entry {
	timer := time.NewTimer(gathering)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	x.s.step.Lock()
	defer x.s.step.Unlock()
	batch := x.adopting
	x.adopting = nil
	return batch
}
