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
	batch := x.adopting
	x.adopting = nil
	x.request(func(ctx context.Context) error { return x.s.Commit(ctx, batch) }, func(err error) {
		if err != nil {
			return // the subscription has ended
		}
		x.s.feed(func(*engine.Engine, time.Time) {
			x.storing = false
			x.adopt(nil)
		})
	})
}
