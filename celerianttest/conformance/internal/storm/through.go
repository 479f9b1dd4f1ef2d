package storm

import (
	"context"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// Subscription is the part of a subscription that a storm uses. Every [stream.Consumer] is one.
type Subscription interface {
	Next(ctx context.Context) ([]stream.Change, error)
	Commit(ctx context.Context, entries []checkpoint.Entry) error
	Close(ctx context.Context) error
	Err() error
}

// Way is how to subscribe to a server otherwise than directly, for instance through a
// gateway.
type Way struct {
	// Open starts a subscription of a scope. Of the options it must honour Name and
	// Store; it may be called by several goroutines.
	Open func(ctx context.Context, scope stream.Scope, options stream.Options) (Subscription, error)
	// Forgets tells that nothing is stored: Store is not set, each subscription starts
	// from the beginning, and it may fail to open or end while its way is disturbed.
	Forgets bool
}

// Through is a storm over subscriptions that are made by other ways, one reader for
// each. disturb does something to what is in between and says what.
func Through(ways []Way, disturb func(context.Context) (string, error)) Kind {
	s := Kind{Name: "through", disturb: disturb}
	for i := range ways {
		scope := typeScope
		if i%2 == 1 {
			scope = keysScope
		}
		s.consumers = append(s.consumers, consumer{way: &ways[i], scope: scope})
	}
	return s
}

// mostRestless is the longest time between two disturbances.
const mostRestless = 120 * time.Millisecond

// trouble disturbs what is in between until ctx ends.
func (x *storm) trouble(ctx context.Context, t *testing.T) {
	for rest := time.Duration(0); ctx.Err() == nil; rest = (rest + 17*time.Millisecond) % mostRestless {
		what, err := x.disturb(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		x.record.Add(record.Line{What: record.Fault, Text: what})
		pause(ctx, rest+x.calm())
	}
}

// through runs one subscription that is made by the reader's way.
func (r *reader) through(ctx context.Context) error {
	r.runs++
	run, o := r.runs, r.opts
	if !r.way.Forgets {
		o.Store = &record.Store{Store: r.store, Voice: r.Voice, Run: run}
	}
	r.Add(record.Line{What: record.Open, Run: run, Kind: record.Between})
	s, err := r.way.Open(ctx, r.scope, o)
	if err == nil {
		err = r.live(ctx, run, s, func(life context.Context) error {
			for {
				if _, err := r.slice(life, s, run); err != nil {
					return err
				}
			}
		})
	}
	if r.way.Forgets && err != nil || ctx.Err() != nil {
		pause(ctx, 10*time.Millisecond) // the next one may find the connection again
		return nil
	}
	return err
}
