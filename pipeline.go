package celeriant

import (
	"context"
	"errors"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// pipeline is an rxgo.Observable whose Map, Filter and ForEach keep positions
// behind effects. Everything else is rxgo's.
type pipeline struct {
	rxgo.Observable
	source *Observable
	cut    cut
	stages []stage
}

// cut makes of one slice of changes the values of items, and says how many
// changes each stands for.
type cut func(changes []Change, yield func(value any, stands int) bool)

func eachChange(changes []Change, yield func(any, int) bool) {
	for i := range changes {
		if !yield(&changes[i], 1) {
			return
		}
	}
}

func eachSlice(changes []Change, yield func(any, int) bool) { yield(changes, len(changes)) }

// stage is a Map or a Filter that runs inside the producer.
type stage func(ctx context.Context, value any) (result any, keep bool, err error)

func newPipeline(source *Observable, c cut, stages ...stage) *pipeline {
	p := &pipeline{source: source, cut: c, stages: stages}
	p.Observable = rxgo.Defer([]rxgo.Producer{p.producer(nil)})
	return p
}

func (p *pipeline) with(s stage) *pipeline {
	// A full slice expression: pipelines that branch must not share memory.
	return newPipeline(p.source, p.cut, append(p.stages[:len(p.stages):len(p.stages)], s)...)
}

// Map applies a function to each item, inside the producer. With options it is
// rxgo's own.
func (p *pipeline) Map(apply rxgo.Func, opts ...rxgo.Option) rxgo.Observable {
	if len(opts) > 0 {
		return p.Observable.Map(apply, opts...)
	}
	return p.with(func(ctx context.Context, value any) (any, bool, error) {
		result, err := apply(ctx, value)
		return result, true, err
	})
}

// Filter keeps items for which apply is true, inside the producer. With options
// it is rxgo's own.
func (p *pipeline) Filter(apply rxgo.Predicate, opts ...rxgo.Option) rxgo.Observable {
	if len(opts) > 0 {
		return p.Observable.Filter(apply, opts...)
	}
	return p.with(func(_ context.Context, value any) (any, bool, error) { return value, apply(value), nil })
}

// ForEach handles each item and tells the producer.
func (p *pipeline) ForEach(next rxgo.NextFunc, fail rxgo.ErrFunc, done rxgo.CompletedFunc, opts ...rxgo.Option) rxgo.Disposed {
	handled := newCount()
	return rxgo.Defer([]rxgo.Producer{p.producer(handled)}).ForEach(func(value any) {
		next(value)
		handled.add()
	}, fail, done, opts...)
}

// producer feeds one observer. handled is nil when nobody counts.
func (p *pipeline) producer(handled *count) rxgo.Producer {
	return func(ctx context.Context, next chan<- rxgo.Item) {
		cause := p.feed(ctx, next, handled)
		if end := p.source.opts.onEnd; end != nil {
			end(cause)
		}
	}
}

// feed runs a subscription until it ends and returns why it did.
func (p *pipeline) feed(ctx context.Context, next chan<- rxgo.Item, handled *count) error {
	if !p.source.client.enter() {
		return ErrClosed
	}
	defer p.source.client.leave()
	f := &feeder{ctx: ctx, next: next, pipeline: p, handled: handled}
	sub, err := p.source.Subscribe(ctx)
	if err == nil {
		f.sub = sub
		defer closeIn(ctx, sub)
		err = f.run()
	}
	if ctx.Err() == nil && !errors.Is(err, stream.ErrClosed) && !errors.Is(err, ErrClosed) {
		f.send(rxgo.Error(err))
	}
	f.last()
	return err
}

// feeder is a producer at work; everything runs on its one goroutine.
type feeder struct {
	*pipeline
	ctx     context.Context
	next    chan<- rxgo.Item
	sub     *stream.Subscription
	handled *count
	trail   trail
}

func (f *feeder) run() error {
	flow := operators.Batch(operators.Changes(f.sub), operators.Limits{})
	for {
		slice, err := flow.Next(f.ctx)
		if err != nil {
			return err
		}
		marks := slice.Marks
		f.cut(slice.Items, func(value any, stands int) bool {
			err = f.pass(value, marks[:stands])
			marks = marks[stands:]
			return err == nil
		})
		if err == nil {
			err = f.settle()
		}
		if err != nil {
			return err
		}
	}
}

// pass takes one item through the stages to the observer.
func (f *feeder) pass(value any, marks []operators.Mark) error {
	for _, s := range f.stages {
		var keep bool
		var err error
		if value, keep, err = s(f.ctx, value); err != nil {
			return err
		}
		if !keep {
			f.trail.skip(marks)
			return f.overdue()
		}
	}
	if !f.send(rxgo.Of(value)) {
		return f.stopped()
	}
	f.trail.sent(marks)
	return f.overdue()
}

// send hands an item over; false when the observer or the client has ended.
func (f *feeder) send(item rxgo.Item) bool {
	select {
	case f.next <- item:
		return true
	case <-f.ctx.Done():
	case <-f.source.client.closed:
	}
	return false
}

func (f *feeder) stopped() error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	return stream.ErrClosed
}
