package operators

import "context"

// Filter keeps the items for which keep is true. Positions are kept all the
// same: a filter that matches nothing does not stop cursors from advancing.
func Filter[T any](from Flow[T], keep func(T) bool) Flow[T] { return &filter[T]{from, keep} }

type filter[T any] struct {
	from Flow[T]
	keep func(T) bool
}

func (f *filter[T]) Next(ctx context.Context) (Slice[T], error) {
	s, err := f.from.Next(ctx)
	if err != nil {
		return Slice[T]{}, err
	}
	// The slice is ours, so it is compacted in place.
	kept, next := 0, 0
	for m := range s.Marks {
		for ; next < s.Marks[m].End; next++ {
			if f.keep(s.Items[next]) {
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
// They share its position. An error of expand is final; the changes before
// the one that failed are handed out first.
func Expand[T, U any](from Flow[T], expand func(T) ([]U, error)) Flow[U] {
	return &expansion[T, U]{from: from, expand: expand}
}

type expansion[T, U any] struct {
	from   Flow[T]
	expand func(T) ([]U, error)
	failed error
}

func (e *expansion[T, U]) Next(ctx context.Context) (Slice[U], error) {
	if e.failed != nil {
		return Slice[U]{}, e.failed
	}
	s, err := e.from.Next(ctx)
	if err != nil {
		return Slice[U]{}, err
	}
	out := Slice[U]{Items: make([]U, 0, len(s.Items)), Marks: s.Marks}
	next := 0
	for m := range s.Marks {
		whole := len(out.Items)
		for ; next < s.Marks[m].End; next++ {
			items, err := e.expand(s.Items[next])
			if err != nil {
				return e.fail(out, m, whole, err)
			}
			out.Items = append(out.Items, items...)
		}
		out.Marks[m].End = len(out.Items)
	}
	return out, nil
}

// fail hands out the changes before the one that failed, if there are any.
func (e *expansion[T, U]) fail(out Slice[U], marks, items int, err error) (Slice[U], error) {
	e.failed = err
	if marks == 0 {
		return Slice[U]{}, err
	}
	return Slice[U]{Items: out.Items[:items], Marks: out.Marks[:marks]}, nil
}
