package celeriant

import (
	"context"
	"iter"
	"time"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// stopTimeout bounds what a consumer still does after it was stopped: let the
// handler in flight finish, store the last positions, close the subscription.
const stopTimeout = 10 * time.Second

// Observable follows a scope. An Observable is cold: nothing runs until it is
// consumed, and each consumption is a subscription of its own. With
// [WithCheckpoints] it is resumable: a consumption continues where the last one
// of that name stopped. An Observable is immutable and safe for concurrent use,
// but of several consumers with one name and store only the last goes on,
// unless they share the work by [WithLeases].
//
// # As an rxgo.Observable
//
// The embedded rxgo.Observable has items of type *Change, [Observable.Slices]
// has items of type []Change. The embedded one differs from other observables
// of rxgo in three operators, so that positions stay behind effects:
//
//   - Map and Filter, called without options, directly on the Observable or on
//     one another, run inside the producer, in order, on one goroutine.
//   - ForEach, called on any of these, tells the producer when an item has been
//     handled. A position is stored only after that: at least once. Buffered
//     channels do not change it.
//
// Behind any other operator, and behind Observe, nobody tells when an item has
// been handled. A change then counts as handled when the next but n items are
// taken, n being the buffer of the channel (0 by default). The rule is exact for
// a caller that takes an item from Observe when done with the one before; operators of
// rxgo hold changes in goroutines of their own, whose positions may be stored
// before their effects have happened. Do the effect in Map, end with ForEach, or
// use [Observable.Run] or package operators where each change matters.
// A Filter that matches nothing keeps positions back until the next item is
// taken, unless ForEach follows.
//
// Positions are stored when what was waiting together, at most 512 changes, has
// been handled, or after a second. An error of Map ends the observable.
//
// An observable ends when its context does, which is given by
// rxgo.WithContext to the last operator or to ForEach, and when the client is
// closed. rxgo calls both completion; see [WithOnEnd]. Any other end of the
// subscription is an error item first. An observer that stops taking items (Take,
// First, an error in a later Map) must end the context: rxgo does not tell the
// producer. Of rxgo do not use Retry, BackOffRetry, Publish and Connect,
// and buffers and windows by time: they lose, repeat, leak or panic.
//
// All and Run of this type hide those of rxgo, so that *Observable itself is no
// rxgo.Observable; pass the field where one is wanted.
type Observable struct {
	rxgo.Observable

	client *Client
	scope  Scope
	opts   watchOptions
}

var _ operators.StoreSource = (*Observable)(nil)

// Watch returns an Observable of the scope. Watch does nothing by itself: what
// is wrong with the options is reported when it is consumed.
func (c *Client) Watch(scope Scope, opts ...WatchOption) *Observable {
	o := &Observable{client: c, scope: scope}
	for _, opt := range opts {
		opt(&o.opts)
	}
	o.Observable = newPipeline(o, eachChange)
	return o
}

// Slices is the rxgo view with items of type []Change: what was waiting
// together, at most 512 changes. Each slice belongs to its receiver and is one
// item for positions. A slice costs far less per change than single items.
func (o *Observable) Slices() rxgo.Observable { return newPipeline(o, eachSlice) }

// Subscribe opens a subscription, for consumers that want to hold the loop: its
// Next pulls slices, its Commit stores positions. ctx bounds only the opening.
// The caller closes it; closing the client does, too.
//
// Subscribe fails with what the checkpoint store says ([*checkpoint.ScopeError],
// [*checkpoint.DamagedError], ...), with [*BudgetError] and with [ErrClosed]. A
// node that cannot be reached is no error but a state, and tried again.
func (o *Observable) Subscribe(ctx context.Context) (*Subscription, error) {
	return o.client.subscribe(ctx, o.scope, o.opts.stream)
}

// Open is Subscribe for operators: it makes the Observable an
// [operators.Source].
func (o *Observable) Open(ctx context.Context) (stream.Consumer, error) {
	s, err := o.Subscribe(ctx)
	if err != nil {
		return nil, err // not a nil pointer inside an interface
	}
	return s, nil
}

// Store returns the checkpoint store given by [WithCheckpoints], nil without one.
// With it an Observable is an [operators.StoreSource].
func (o *Observable) Store() checkpoint.Store { return o.opts.stream.Store }

// All yields every change. A change counts as handled when the loop body has
// returned for it; one whose body breaks comes again. Positions are stored as
// by [stream.Subscription.All]. The sequence ends with one error, ctx's cause or the
// terminal one; after a break it just ends. Ranging again is another
// subscription.
func (o *Observable) All(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		s, err := o.Subscribe(ctx)
		if err != nil {
			yield(Change{}, err)
			return
		}
		defer closeIn(ctx, s)
		for c, err := range s.All(ctx) {
			if !yield(c, err) {
				return
			}
		}
	}
}

// Run calls handler for every change and stores positions behind it: at least
// once. Run ends, always with an error, when ctx does, when the subscription
// does, or with handler's error. See [operators.ForEach] for one that lets a
// handler in flight finish after a cancel, reports progress and catches panics.
func (o *Observable) Run(ctx context.Context, handler func(ctx context.Context, c Change) error) error {
	s, err := o.Subscribe(ctx)
	if err != nil {
		return err
	}
	defer closeIn(ctx, s)
	return s.Run(ctx, handler)
}

// closeIn closes a subscription although ctx may have ended.
func closeIn(ctx context.Context, s *stream.Subscription) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	_ = s.Close(ctx) // what it could say is that the time was too short
}
