package celeriant

import (
	"context"

	"github.com/reactivex/rxgo/v2"
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

// ForEach handles each item and tells the producer. No item is handled once the
// client is closed.
func (p *pipeline) ForEach(next rxgo.NextFunc, fail rxgo.ErrFunc, done rxgo.CompletedFunc, opts ...rxgo.Option) rxgo.Disposed {
	handled := newCount()
	return rxgo.Defer([]rxgo.Producer{p.producer(handled)}).ForEach(func(value any) {
		handled.handle(func() { next(value) })
	}, fail, done, opts...)
}

// producer feeds one observer. handled is nil when nobody counts.
func (p *pipeline) producer(handled *count) rxgo.Producer {
	return func(ctx context.Context, next chan<- rxgo.Item) { newFeeder(ctx, next, p, handled).observe() }
}
