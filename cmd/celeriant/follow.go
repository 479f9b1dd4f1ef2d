package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	// storeChanges and storeInterval bound what is written before its positions
	// are stored: so much at most comes again after a kill.
	storeChanges  = 512
	storeInterval = time.Second
	// endGrace bounds storing and closing at the end.
	endGrace = 5 * time.Second
)

// member is one of the subscriptions that are followed together.
type member struct {
	sub    *stream.Subscription
	behind []checkpoint.Entry // positions of lines that were written, not stored
	since  time.Time          // of the first of them
	caught bool               // it has said CaughtUp
}

// written takes the position of a line that was written.
func (m *member) written(e checkpoint.Entry) {
	if len(m.behind) == 0 {
		m.since = time.Now()
	}
	m.behind = append(m.behind, e)
}

// store stores the positions of the lines that were written.
func (m *member) store(ctx context.Context) error {
	if len(m.behind) == 0 {
		return nil
	}
	err := m.sub.Commit(ctx, newest(m.behind))
	if err == nil {
		m.behind = m.behind[:0]
	}
	return err
}

// newest keeps the last position of each aggregate.
func newest(all []checkpoint.Entry) []checkpoint.Entry {
	entries := make([]checkpoint.Entry, 0, len(all))
	at := make(map[msg.Key]int, len(all))
	for _, e := range all {
		if i, ok := at[e.Key]; ok {
			entries[i] = e
			continue
		}
		at[e.Key] = len(entries)
		entries = append(entries, e)
	}
	return entries
}

// parcel is what a member has to be printed, or why it ended.
type parcel struct {
	from    *member
	changes []stream.Change
	err     error
}

// following prints what its members say.
type following struct {
	members []*member
	out     printout
	format  func(dst []byte, c *stream.Change) []byte
	report  *reporter
	parcels chan parcel
}

// run prints until ctx ends, which is no error, or until something fails.
// Positions of all lines that were written are stored in each case.
func (f *following) run(ctx context.Context) error {
	f.parcels = make(chan parcel)
	pumping, stop := context.WithCancel(ctx)
	var pumps sync.WaitGroup
	for _, m := range f.members {
		pumps.Go(func() { f.pump(pumping, m) })
	}
	err := f.loop(ctx)
	if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err())) {
		err = nil // a store that was being tried again; it is tried once more
	}
	stop()
	pumps.Wait()
	return f.end(ctx, err)
}

// pump hands on what a member says.
func (f *following) pump(ctx context.Context, m *member) {
	for {
		changes, err := m.sub.Next(ctx)
		if ctx.Err() != nil {
			return // what was taken and not printed comes again
		}
		select {
		case f.parcels <- parcel{m, changes, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// loop prints parcels. Whenever none is waiting, the lines are written and the
// positions stored.
func (f *following) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		var p parcel
		select {
		case p = <-f.parcels:
		default:
			if err := f.settle(ctx); err != nil {
				return err
			}
			select {
			case p = <-f.parcels:
			case <-ctx.Done():
				return nil
			}
		}
		if p.err != nil {
			return p.err
		}
		if err := f.print(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// print adds the lines of a parcel to the printout.
func (f *following) print(ctx context.Context, p parcel) error {
	for i := range p.changes {
		if ctx.Err() != nil {
			return nil
		}
		c := &p.changes[i]
		if c.Kind == stream.CaughtUp && !f.allCaughtUp(p.from) {
			continue
		}
		f.out.buffer = f.format(f.out.buffer, c)
		f.out.marks = append(f.out.marks, mark{len(f.out.buffer), p.from, checkpoint.Entry{Key: c.Key, Cursor: c.Cursor}, c.Moves()})
		f.report.count(c)
		if f.due() {
			if err := f.settle(ctx); err != nil {
				return err
			}
		}
		if len(f.out.buffer) >= printoutSize {
			if err := f.out.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// due reports whether it is time to store positions although more is waiting.
func (f *following) due() bool {
	n := len(f.out.marks)
	for _, m := range f.members {
		n += len(m.behind)
		if len(m.behind) > 0 && time.Since(m.since) >= storeInterval {
			return true
		}
	}
	return n >= storeChanges
}

// allCaughtUp takes in that one member has caught up, and reports whether all
// have and are still up to date.
func (f *following) allCaughtUp(m *member) bool {
	m.caught = true
	for _, other := range f.members {
		if !other.caught || other != m && other.sub.State().Phase != stream.Live {
			return false
		}
	}
	return true
}

// settle writes all lines and stores the positions behind them.
func (f *following) settle(ctx context.Context) error {
	if err := f.out.flush(ctx); err != nil {
		return err
	}
	for _, m := range f.members {
		if err := m.store(ctx); err != nil {
			return err
		}
	}
	return nil
}

// end writes and stores what is left. A reader that has gone ends the command
// as a signal does.
func (f *following) end(ctx context.Context, cause error) error {
	if errors.Is(cause, checkpoint.ErrFenced) {
		return cause // another one prints what is not printed yet
	}
	if err := f.out.flush(ctx); cause == nil {
		cause = err
	}
	if errors.Is(cause, syscall.EPIPE) {
		cause = nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
	defer cancel()
	errs := []error{cause}
	for _, m := range f.members {
		errs = append(errs, m.store(ctx))
	}
	return errors.Join(errs...)
}

// formatJSON makes one line of JSON of a change.
func formatJSON(dst []byte, c *stream.Change) []byte {
	return append(batchjson.AppendChange(dst, c), '\n')
}

// formatBrief makes one line of text of a change.
func formatBrief(dst []byte, c *stream.Change) []byte { return fmt.Appendln(dst, c) }

// formatText adds a line for each event, in the form that read prints, indented.
func formatText(dst []byte, c *stream.Change) []byte {
	dst = formatBrief(dst, c)
	for i := range c.Batch.Events {
		dst = appendEventText(append(dst, "    "...), &c.Batch, &c.Batch.Events[i])
	}
	return dst
}
