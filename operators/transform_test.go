package operators_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// slicesOf hands out slices of changes.
type slicesOf [][]stream.Change

func (s *slicesOf) Next(context.Context) ([]stream.Change, error) {
	if len(*s) == 0 {
		return nil, errEnd
	}
	first := (*s)[0]
	*s = (*s)[1:]
	return first, nil
}

// A callback that panics, once at each place, loses nothing: the slice is put back.
func TestAPanicInACallbackLosesNothing(t *testing.T) {
	for _, how := range []string{"filter", "expand"} {
		for at := range 6 {
			calls := 0
			boom := func() {
				if calls++; calls == at+1 {
					panic("boom")
				}
			}
			var source slicesOf
			for v := uint64(1); v <= 6; v += 2 {
				source = append(source, []stream.Change{batchOf(1, v), batchOf(1, v+1)})
			}
			changes := operators.Changes(&source)
			flow := operators.Filter(changes, func(stream.Change) bool { boom(); return true })
			if how == "expand" {
				flow = operators.Expand(changes, func(c stream.Change) ([]stream.Change, error) {
					boom()
					return []stream.Change{c}, nil
				})
			}
			var seen []uint64
			var err error
			for err == nil {
				func() {
					defer func() { _ = recover() }()
					var s operators.Slice[stream.Change]
					if s, err = flow.Next(t.Context()); err == nil {
						for i := range s.Items {
							seen = append(seen, s.Items[i].Batch.Version)
							if s.Marks[i].End != i+1 {
								t.Errorf("%s: mark %d ends at %d", how, i, s.Marks[i].End)
							}
						}
					}
				}()
			}
			if !errors.Is(err, errEnd) || !slices.Equal(seen, []uint64{1, 2, 3, 4, 5, 6}) {
				t.Errorf("%s that panics at call %d: saw %v, %v", how, at+1, seen, err)
			}
		}
	}
}
