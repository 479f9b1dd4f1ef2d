package stream

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// startKey is the key, no aggregate's, under which a subscription's store notes
// that its start was made.
var startKey = func() msg.Key {
	ones := msg.IDFromUint64s(^uint64(0), ^uint64(0))
	return msg.Key{Org: ones, Type: ones, Aggregate: ones}
}()

// startsNow reports whether the start is to be made where the store is now.
func (o Options) startsNow(ctx context.Context) (bool, error) {
	if o.Start != FromNow {
		return false, nil
	}
	noted, err := o.Store.Load(ctx, o.Name, []msg.Key{startKey})
	if err != nil {
		return false, fmt.Errorf("stream: looking up the start of %q: %w", o.Name, err)
	}
	return noted[0].IsZero(), nil
}

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

// begin notes that the start was made.
func (x *executor) begin() {
	x.request(func(ctx context.Context) error {
		return x.s.Commit(ctx, []checkpoint.Entry{{Key: startKey, Cursor: checkpoint.Cursor{Version: 1}}})
	}, func(err error) {
		if err == nil {
			x.s.feed(func(e *engine.Engine, now time.Time) { e.Begun(now) })
		}
	})
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
