package operators

import "context"

// Filter keeps the items for which keep is true. Positions are kept all the
// same: a filter that matches nothing does not stop cursors from advancing. If keep
// panics, the slice is put back: Next may be called again and begins with it.
func Filter[T any](from Flow[T], keep func(T) bool) Flow[T] {
	return &filter[T]{from: retaining[T]{from: from}, keep: keep}
}

type filter[T any] struct {
	from retaining[T]
	keep func(T) bool
	kept []bool
}

func (f *filter[T]) Next(ctx context.Context) (Slice[T], error) {
	s, err := f.from.next(ctx)
	if err != nil {
		return Slice[T]{}, err
	}
	// First everything is asked: until then the slice stays as it came.
	f.kept = f.kept[:0]
	for i := range s.Items {
		f.kept = append(f.kept, f.keep(s.Items[i]))
	}
	f.from.done()
	// The slice is ours, so it is compacted in place.
	kept, next := 0, 0
	for m := range s.Marks {
		for ; next < s.Marks[m].End; next++ {
			if f.kept[next] {
				s.Items[kept] = s.Items[next]
				kept++
			}
		}
		s.Marks[m].End = kept
	}
	clear(s.Items[kept:])
	s.Items = s.Items[:kept]
	return s, nil
}

// Expand makes any number of items of each one: none, one (a map) or several.
// All of them share its position. An error of expand is final; the changes before
// the one that failed are handed out first. If expand panics, the slice is put back:
// Next may be called again and begins with it.
func Expand[T, U any](from Flow[T], expand func(T) ([]U, error)) Flow[U] {
	return &expansion[T, U]{from: retaining[T]{from: from}, expand: expand}
}

type expansion[T, U any] struct {
	from   retaining[T]
	expand func(T) ([]U, error)
	failed error
	ends   []int
}

func (e *expansion[T, U]) Next(ctx context.Context) (Slice[U], error) {
	if e.failed != nil {
		return Slice[U]{}, e.failed
	}
	s, err := e.from.next(ctx)
	if err != nil {
		return Slice[U]{}, err
	}
	items := make([]U, 0, len(s.Items))
	e.ends = e.ends[:0]
	next := 0
	for m := range s.Marks {
		whole := len(items)
		for ; next < s.Marks[m].End; next++ {
			more, err := e.expand(s.Items[next])
			if err != nil {
				return e.fail(s.Marks[:m], items[:whole], err)
			}
			items = append(items, more...)
		}
		e.ends = append(e.ends, len(items))
	}
	e.from.done()
	for m := range s.Marks {
		s.Marks[m].End = e.ends[m]
	}
	return Slice[U]{Items: items, Marks: s.Marks}, nil
}

// fail hands out the changes before the one that failed, if there are any.
func (e *expansion[T, U]) fail(marks []Mark, items []U, err error) (Slice[U], error) {
	e.failed = err
	e.from.done()
	if len(marks) == 0 {
		return Slice[U]{}, err
	}
	for m := range marks {
		marks[m].End = e.ends[m]
	}
	return Slice[U]{Items: items, Marks: marks}, nil
}

// retaining keeps the slice at hand until it was worked through, so that a callback
// that panics or ends its goroutine loses nothing.
type retaining[T any] struct {
	from Flow[T]
	held Slice[T]
	at   bool
}

// next returns the slice that was not worked through, or the next one.
func (r *retaining[T]) next(ctx context.Context) (Slice[T], error) {
	if r.at {
		return r.held, nil
	}
	s, err := r.from.Next(ctx)
	if err != nil {
		return Slice[T]{}, err
	}
	r.held, r.at = s, true
	return s, nil
}

func (r *retaining[T]) done() { r.held, r.at = Slice[T]{}, false }
