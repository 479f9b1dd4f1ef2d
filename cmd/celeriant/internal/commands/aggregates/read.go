package aggregates

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const readHelp = `Print the batches of an aggregate, oldest first.

Without --from it begins with the oldest version that is readable. With --json
each batch is one line:

  {"org","type","aggregate","version","server_timestamp","client_id","user_id",
   "events":[{"event_seq","client_seq","event_id","timestamp","major","minor",
              "iv","value"}]}

iv and value are base64, absent fields are left out. Without --json each event
is one line of tab-separated fields: version, event sequence, type as
major.minor, client id, client sequence, value. Values that are not printable
UTF-8 text, and encrypted ones, are shown as "base64:".`

// trimRaces is how often a read starts again because the oldest version was
// trimmed away in the meantime.
const trimRaces = 5

// NewRead returns the command read.
func NewRead() *cobra.Command {
	c := &cobra.Command{
		Use:     "read",
		Short:   "Print the batches of an aggregate",
		Long:    readHelp,
		Example: "  celeriant read --org 1 --type 1 --aggregate 7 --from 10 --json | jq .version",
		Args:    cli.NoArgs,
	}
	key, filters := cli.BindKey(c), bindFilters(c)
	s := node.BindSession(c)
	limit := cli.BindNumber(c, "limit", "print at most so many batches")
	c.RunE = func(c *cobra.Command, _ []string) error {
		k, err := key.Key()
		if err != nil {
			return err
		}
		return s.Do(c.Context(), func(client *pool.Pool) error {
			out := &batchPrinter{out: bufio.NewWriterSize(c.OutOrStdout(), 64<<10), key: k, JSON: s.JSON}
			err := out.all(readable(c.Context(), client, k, filters()), limit.Given)
			return errors.Join(out.out.Flush(), err)
		})
	}
	return c
}

// bindFilters adds a flag for every filter of a read.
func bindFilters(c *cobra.Command) func() msg.ReadFilters {
	var to []func(*msg.ReadFilters)
	number := func(name, usage string, field func(*msg.ReadFilters) *msg.Opt[uint64]) {
		o := cli.BindNumber(c, name, usage)
		to = append(to, func(f *msg.ReadFilters) { *field(f) = o.Given })
	}
	id := func(name, usage string, field func(*msg.ReadFilters) *msg.Opt[msg.ID]) {
		o := cli.BindID(c, name, usage)
		to = append(to, func(f *msg.ReadFilters) { *field(f) = o.Given })
	}
	from := cli.BindNumber(c, "from", "first version (default: the oldest readable)")
	to = append(to, func(f *msg.ReadFilters) { f.From = from.Given.Or(0) })
	number("to", "last version", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.To })
	types := c.Flags().UintSlice("event-type", nil, "only events of these major types")
	to = append(to, func(f *msg.ReadFilters) {
		for _, t := range *types {
			f.EventTypes = append(f.EventTypes, uint64(t))
		}
	})
	id("client-id", "only batches of this client", func(f *msg.ReadFilters) *msg.Opt[msg.ID] { return &f.IncludeClientID })
	id("exclude-client-id", "no batches of this client", func(f *msg.ReadFilters) *msg.Opt[msg.ID] { return &f.ExcludeClientID })
	id("user-id", "only batches of this user", func(f *msg.ReadFilters) *msg.Opt[msg.ID] { return &f.IncludeUserID })
	id("exclude-user-id", "no batches of this user", func(f *msg.ReadFilters) *msg.Opt[msg.ID] { return &f.ExcludeUserID })
	number("min-server-timestamp", "only batches from this node time on", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.MinServerTimestamp })
	number("max-server-timestamp", "only batches up to this node time", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.MaxServerTimestamp })
	number("min-client-seq", "only events from this client sequence on", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.MinClientSeq })
	number("max-client-seq", "only events up to this client sequence", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.MaxClientSeq })
	number("min-timestamp", "only events from this time on", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.MinEventTimestamp })
	number("max-timestamp", "only events up to this time", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.MaxEventTimestamp })
	number("min-event-seq", "only events from this event sequence on", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.MinEventSeq })
	number("max-event-seq", "only events up to this event sequence", func(f *msg.ReadFilters) *msg.Opt[uint64] { return &f.MaxEventSeq })
	return func() msg.ReadFilters {
		var f msg.ReadFilters
		for _, set := range to {
			set(&f)
		}
		return f
	}
}

// readable yields an aggregate from filters.From on, 0 standing for the oldest
// version that was not trimmed away.
func readable(ctx context.Context, client *pool.Pool, key msg.Key, filters msg.ReadFilters) iter.Seq2[msg.Batch, error] {
	return func(yield func(msg.Batch, error) bool) {
		oldest := filters.From == 0
		for try := 0; ; try++ {
			floor := uint64(0)
			for batch, err := range client.ReadAll(ctx, key, filters) {
				if floor = floorOf(err); oldest && floor > filters.From && try < trimRaces {
					break
				}
				floor = 0
				oldest = false // something was printed: a trim from here on is a gap
				if !yield(batch, err) {
					return
				}
			}
			if floor == 0 {
				return
			}
			filters.From = floor
		}
	}
}

// floorOf returns the oldest readable version when err says that older ones
// were trimmed away, else 0.
func floorOf(err error) uint64 {
	var refusal *msg.ServerError
	if !errors.Is(err, msg.ErrTrimmed) || !errors.As(err, &refusal) {
		return 0
	}
	return refusal.Fields.MinimumAvailable.Or(0)
}

// batchPrinter prints batches of one aggregate.
type batchPrinter struct {
	out  *bufio.Writer
	key  msg.Key
	JSON bool
	line []byte // reused
}

// all prints what a read yields, up to a limit.
func (p *batchPrinter) all(batches iter.Seq2[msg.Batch, error], limit msg.Opt[uint64]) error {
	printed := uint64(0)
	if limit.Set && limit.Value == 0 {
		return cli.Usagef("--limit is 0, want at least 1")
	}
	for batch, err := range batches {
		if err != nil {
			return err
		}
		if err := p.one(&batch); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		if printed++; limit.Set && printed == limit.Value {
			return nil
		}
	}
	return nil
}

func (p *batchPrinter) one(batch *msg.Batch) error {
	p.line = p.line[:0]
	if p.JSON {
		p.line = append(batchjson.AppendBatch(p.line, p.key, batch), '\n')
	} else {
		for i := range batch.Events {
			p.line = appendEventText(p.line, batch, &batch.Events[i])
		}
	}
	_, err := p.out.Write(p.line)
	return err
}

func appendEventText(dst []byte, batch *msg.Batch, e *msg.Event) []byte {
	dst = append(strconv.AppendUint(dst, batch.Version, 10), '\t')
	dst = append(strconv.AppendUint(dst, e.EventSeq, 10), '\t')
	dst = append(strconv.AppendUint(dst, e.Major, 10), '.')
	dst = append(strconv.AppendUint(dst, e.Minor, 10), '\t')
	dst, _ = batch.ClientID.AppendText(dst) // the error is always nil
	dst = append(strconv.AppendUint(append(dst, '\t'), e.ClientSeq, 10), '\t')
	if !e.IV.Set && printable(e.Value) {
		dst = append(dst, e.Value...)
	} else {
		dst = base64.StdEncoding.AppendEncode(append(dst, "base64:"...), e.Value)
	}
	return append(dst, '\n')
}

// printable reports whether a value can be shown on one line of a terminal as
// it is.
func printable(value []byte) bool {
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRune(value[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			return false
		}
		i += size
	}
	return true
}
