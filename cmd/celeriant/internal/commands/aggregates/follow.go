package aggregates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/internal/platform"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	// storeChanges and storeInterval bound what is written before its positions
	// are stored: so much at most comes again after a kill.
	storeChanges  = 512
	storeInterval = time.Second
	// storePatience is how long a store that fails is tried again without a word.
	storePatience = 2 * time.Second
)

// following prints what a subscription says.
type following struct {
	sub    *stream.Subscription
	out    cli.Printout
	format func(dst []byte, c *stream.Change) []byte
	report *node.Reporter
	pulls  chan pulled
	stored time.Time // when positions were stored last, or there were none
}

// pulled is what is to be printed, or why the subscription ended.
type pulled struct {
	changes []stream.Change
	err     error
}

// run prints until ctx ends, which is no error, or until something fails.
// Positions of all lines that were written are stored in each case.
func (f *following) run(ctx context.Context) error {
	f.pulls, f.stored = make(chan pulled), time.Now()
	pumping, stop := context.WithCancel(ctx)
	var pump sync.WaitGroup
	pump.Go(func() { f.pump(pumping) })
	err := f.loop(ctx)
	if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err())) {
		err = nil // a store that was being tried again; it is tried once more
	}
	stop()
	pump.Wait()
	return f.end(ctx, err)
}

// pump takes what comes, so that the loop can see whether something waits.
func (f *following) pump(ctx context.Context) {
	for {
		changes, err := f.sub.Next(ctx)
		if ctx.Err() != nil {
			return // what was taken and not printed comes again
		}
		select {
		case f.pulls <- pulled{changes, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// loop prints pulls. Whenever none is waiting, the lines are written and the
// positions stored.
func (f *following) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		var p pulled
		select {
		case p = <-f.pulls:
		default:
			if err := f.settle(ctx); err != nil {
				return err
			}
			select {
			case p = <-f.pulls:
			case <-ctx.Done():
				return nil
			}
			f.stored = time.Now()
		}
		if p.err != nil {
			return p.err
		}
		if err := f.print(ctx, p.changes); err != nil {
			return err
		}
	}
	return nil
}

// print adds the lines of changes to the printout.
func (f *following) print(ctx context.Context, changes []stream.Change) error {
	for i := range changes {
		if ctx.Err() != nil {
			return nil
		}
		c := &changes[i]
		f.out.Buffer = f.format(f.out.Buffer, c)
		f.out.EndLine(checkpoint.Entry{Key: c.Key, Cursor: c.Cursor}, c.Moves())
		f.report.Count(c)
		if f.out.Lines() >= storeChanges || time.Since(f.stored) >= storeInterval {
			if err := f.settle(ctx); err != nil {
				return err
			}
		}
		if len(f.out.Buffer) >= cli.PrintoutSize {
			if err := f.out.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle writes all lines and stores the positions behind them.
func (f *following) settle(ctx context.Context) error {
	if err := f.out.Flush(ctx); err != nil {
		return err
	}
	return f.store(ctx)
}

// store stores the positions of the lines that were written.
func (f *following) store(ctx context.Context) error {
	if len(f.out.Written) == 0 {
		return nil
	}
	entries := newest(f.out.Written)
	for {
		trying, cancel := context.WithTimeout(ctx, storePatience)
		err := f.sub.Commit(trying, entries)
		late := trying.Err() != nil
		cancel()
		switch {
		case err == nil:
			f.out.Written, f.stored = f.out.Written[:0], time.Now()
			return nil
		case !late || ctx.Err() != nil:
			return err
		}
		f.report.ReportError(err)
	}
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

// end writes and stores what is left. A reader that has gone ends the command
// as a signal does.
func (f *following) end(ctx context.Context, cause error) error {
	if errors.Is(cause, checkpoint.ErrFenced) {
		return cause // another one prints what is not printed yet
	}
	if err := f.out.Flush(ctx); cause == nil {
		cause = err
	}
	if platform.BrokenPipe(cause) {
		cause = nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), node.EndGrace)
	defer cancel()
	return errors.Join(cause, f.store(ctx))
}

// formatJSON makes one line of JSON of a change.
func formatJSON(dst []byte, c *stream.Change) []byte {
	return append(batchjson.AppendChange(dst, c), '\n')
}

// formatBrief makes one line of text of a change, on a terminal with a short key.
func formatBrief(dst []byte, c *stream.Change) []byte {
	return fmt.Appendln(dst, strings.Replace(c.String(), c.Key.String(), cli.Key(c.Key, cli.Short()), 1))
}

// formatText adds a line for each event, in the form that read prints, indented.
func formatText(dst []byte, c *stream.Change) []byte {
	dst = formatBrief(dst, c)
	for i := range c.Batch.Events {
		dst = appendEventText(append(dst, "    "...), &c.Batch, &c.Batch.Events[i])
	}
	return dst
}
