package operators

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/stream"
)

// Defaults of Limits.
const (
	DefaultChanges = 512
	DefaultBytes   = 4 << 20
)

// Limits bound the slices that Batch makes. The zero value of each field means
// its default.
type Limits struct {
	// Changes is the most changes in a slice; default 512.
	Changes int
	// Bytes is the most payload in a slice, in bytes; default 4 MiB. A single
	// change that is larger comes alone.
	Bytes int
	// Wait is how long a slice is held open, from its first change on, while
	// neither limit is reached; default 0: a slice is what is waiting already.
	Wait time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Changes <= 0 {
		l.Changes = DefaultChanges
	}
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	return l
}

// Batch joins and cuts slices so that each holds as many changes as the limits
// allow. Changes are never split, positions never lost. CaughtUp always ends a
// slice, so that it is not delayed. Apart from what the limits allow Batch
// holds at most one slice of from.
func Batch[T any](from Flow[T], limits Limits) Flow[T] {
	return &batch[T]{from: from, limits: limits.withDefaults()}
}

type batch[T any] struct {
	from   Flow[T]
	limits Limits
	held   Slice[T]
	// base is what the marks held count too much: items handed out before.
	base   int
	since  time.Time // when the oldest of what is held came
	failed error
}

// errWaited is the cause of the deadline Batch itself sets.
var errWaited = errors.New("operators: slice held open long enough")

func (b *batch[T]) Next(ctx context.Context) (Slice[T], error) {
	for {
		if n, full := b.fill(); full {
			return b.cut(n), nil
		}
		if b.failed != nil {
			if len(b.held.Marks) > 0 {
				return b.cut(len(b.held.Marks)), nil
			}
			return Slice[T]{}, b.failed
		}
		s, err := b.pull(ctx)
		switch {
		case err == nil:
			b.add(s)
		case errors.Is(err, errWaited) && b.waited():
			return b.cut(len(b.held.Marks)), nil
		case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
			// Held changes stay for the next call.
			return Slice[T]{}, err
		default:
			b.failed = err
		}
	}
}

// pull waits for more; with something held, only as long as it may be held.
func (b *batch[T]) pull(ctx context.Context) (Slice[T], error) {
	if len(b.held.Marks) == 0 {
		return b.from.Next(ctx)
	}
	// A deadline in the past asks for what is waiting already.
	ctx, cancel := context.WithDeadlineCause(ctx, b.since.Add(b.limits.Wait), errWaited)
	defer cancel()
	return b.from.Next(ctx)
}

// waited reports whether what is held was held long enough. A deadline may
// also be that of another Batch, behind this one.
func (b *batch[T]) waited() bool {
	return len(b.held.Marks) > 0 && time.Since(b.since) >= b.limits.Wait
}

func (b *batch[T]) add(s Slice[T]) {
	if len(b.held.Marks) == 0 {
		b.held, b.base, b.since = s, 0, time.Now()
		return
	}
	shift := b.base + len(b.held.Items)
	b.held.Items = append(b.held.Items, s.Items...)
	for _, m := range s.Marks {
		m.End += shift
		b.held.Marks = append(b.held.Marks, m)
	}
}

// fill returns how many of the changes held make a slice, and whether it is
// complete.
func (b *batch[T]) fill() (n int, full bool) {
	bytes := 0
	for i := range b.held.Marks {
		m := &b.held.Marks[i]
		if i > 0 && bytes+m.Bytes > b.limits.Bytes {
			return i, true
		}
		bytes += m.Bytes
		if i+1 == b.limits.Changes || bytes >= b.limits.Bytes || m.Kind == stream.CaughtUp {
			return i + 1, true
		}
	}
	return len(b.held.Marks), false
}

// cut hands out the first n changes.
func (b *batch[T]) cut(n int) Slice[T] {
	items := 0
	if n > 0 {
		items = b.held.Marks[n-1].End - b.base
	}
	out := Slice[T]{Items: b.held.Items[:items:items], Marks: b.held.Marks[:n:n]}
	for i := range out.Marks {
		out.Marks[i].End -= b.base
	}
	b.base += items
	b.held.Items, b.held.Marks = b.held.Items[items:], b.held.Marks[n:]
	if len(b.held.Marks) == 0 {
		b.held = Slice[T]{}
	}
	return out
}
