package aggregates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const writeHelp = `Write events, one JSON object per line, from a file or from standard input.

Fields of a line, of which one of the last three is required:

  org, type, aggregate  instead of the flags of these names
  client_seq            the writer's sequence number; left out, the events are
                        numbered as they come, from --first-client-seq on
  event_id              an id of the writer's choice
  timestamp             milliseconds since 1970; left out, the present time
  major, minor          the event type, instead of the flags of these names
  iv                    base64 of 12 bytes: the value is encrypted
  value, text, json     the value: base64, text, or JSON as it stands

event_seq is accepted and ignored, so that events that were read can be written.

Up to --batch consecutive lines of one aggregate become one batch, which is
written as a whole or not at all. Batches are written one after the other; the
first failure ends the command, and what was acknowledged before it stays
written: the last line printed tells how many lines that are.

--expected-version is the version the aggregate must have at first, 0 for one
that does not exist; from then on, the version the command itself has made. It
is for one aggregate. --idempotent refuses events whose client sequence is not
above the highest stored for the client id, so that a repetition after an
unknown outcome (exit status 3) cannot store an event twice; such a refusal is
a conflict (5). That holds at one node. When the leader is lost, events that were sent
and not acknowledged are sent to the next one only with --expected-version; without it
the outcome is unknown, and read tells what was stored.`

// longestLine bounds one line of input, in bytes.
const longestLine = 16 << 20

type writeFlags struct {
	key        *cli.AggregateKey
	author     *node.Author
	expected   *cli.Option[uint64]
	idempotent bool
	denyCreate bool
	batch      int
	firstSeq   uint64
	major      uint64
	minor      uint64
	progress   bool
}

// NewWrite returns the command write.
func NewWrite() *cobra.Command {
	c := &cobra.Command{
		Use:     "write [FILE]",
		Short:   "Write events from JSON lines",
		Long:    writeHelp,
		Example: `  echo '{"json":{"total":12}}' | celeriant write --org 1 --type 1 --aggregate 7`,
		Args:    cli.UsageArgs(cobra.MaximumNArgs(1)),
	}
	f := writeFlags{key: cli.BindKey(c), author: node.BindAuthor(c), expected: cli.BindNumber(c, "expected-version", "version the aggregate must have, 0 for none")}
	flags := c.Flags()
	flags.BoolVar(&f.idempotent, "idempotent", false, "refuse client sequences already stored; needs --client-id or --identity-file")
	flags.BoolVar(&f.denyCreate, "deny-create", false, "refuse aggregates that do not exist")
	flags.IntVar(&f.batch, "batch", 1, "most lines per write")
	flags.Uint64Var(&f.firstSeq, "first-client-seq", 1, "client sequence of the first event")
	flags.Uint64Var(&f.major, "major", 1, "major event type")
	flags.Uint64Var(&f.minor, "minor", 0, "minor event type")
	flags.BoolVar(&f.progress, "progress", cli.IsTerminal(os.Stderr), "tell the progress every second on standard error")
	s := node.BindSession(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := f.check(s); err != nil {
			return err
		}
		in, err := input(c, args)
		if err != nil {
			return err
		}
		defer in.Close()
		return s.Do(c.Context(), func(client *pool.Pool) error {
			w := newWriting(client, &f, f.author.ClientID(s))
			if f.progress {
				w.progress = c.ErrOrStderr()
			}
			err := w.all(c.Context(), in)
			return errors.Join(s.Print(c, w.done, w.done.String()), err)
		})
	}
	return c
}

func (f *writeFlags) check(s *node.Session) error {
	switch {
	case f.batch < 1:
		return cli.Usagef("--batch is %d, want at least 1", f.batch)
	case f.major < 1:
		return cli.Usagef("--major is 0, want at least 1")
	case f.idempotent && !f.author.Client.Given.Set && s.Security.KeyPair == "":
		return cli.Usagef("--idempotent needs --client-id or --identity-file: sequences are counted per client")
	}
	return nil
}

// input opens the file that was named, standard input without one or for "-".
func input(c *cobra.Command, args []string) (io.ReadCloser, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.NopCloser(c.InOrStdin()), nil
	}
	return os.Open(args[0])
}

// written is how far a write has come.
type written struct {
	Lines     uint64  `json:"lines"`  // acknowledged
	Writes    uint64  `json:"writes"` // acknowledged
	ClientID  msg.ID  `json:"client_id"`
	Org       *msg.ID `json:"org,omitempty"` // of the last write
	Type      *msg.ID `json:"type,omitempty"`
	Aggregate *msg.ID `json:"aggregate,omitempty"`
	Version   uint64  `json:"version,omitempty"` // that the last write made
}

func (w written) String() string {
	short := cli.Short()
	text := fmt.Sprintf("wrote %s in %s as client %s", cli.Count(w.Lines, "event"), cli.Count(w.Writes, "write"), cli.ID(w.ClientID, short))
	if w.Aggregate != nil {
		key := msg.Key{Org: *w.Org, Type: *w.Type, Aggregate: *w.Aggregate}
		text += fmt.Sprintf(", the last one version %d of %s", w.Version, cli.Key(key, short))
	}
	return text + "\n"
}

// writing turns lines into writes.
type writing struct {
	client   *pool.Pool
	flags    *writeFlags
	progress io.Writer // nil: silent
	told     time.Time
	done     written

	count    uint64 // events met
	expected msg.Opt[uint64]
	only     msg.Opt[msg.Key] // the one aggregate of an expected version

	// The batch being collected.
	key         msg.Key
	events      []msg.Event
	size        int
	first, last uint64 // numbers of lines
}

func newWriting(client *pool.Pool, f *writeFlags, clientID msg.ID) *writing {
	return &writing{client: client, flags: f, expected: f.expected.Given, told: time.Now(), done: written{ClientID: clientID}}
}

// all writes every line of in.
func (w *writing) all(ctx context.Context, in io.Reader) error {
	lines := cli.StartLines(ctx, in, longestLine)
	for {
		number, text, err := lines.Next(ctx)
		if errors.Is(err, io.EOF) {
			return w.flush(ctx)
		}
		if err != nil {
			return errors.Join(w.flush(ctx), err)
		}
		if number == 1 {
			text = batchjson.TrimByteOrderMark(text)
		}
		if len(text) == 0 {
			continue
		}
		key, event, err := w.event(text)
		if err != nil {
			// The lines before the faulty one are complete and get written.
			return errors.Join(w.flush(ctx), fmt.Errorf("line %d: %w", number, err))
		}
		if err := w.add(ctx, number, key, event); err != nil {
			return err
		}
	}
}

// event makes an event of a line.
func (w *writing) event(text []byte) (msg.Key, msg.Event, error) {
	line, err := batchjson.ParseLine(text)
	if err != nil {
		return msg.Key{}, msg.Event{}, err
	}
	key, err := w.keyOf(line)
	if err != nil {
		return msg.Key{}, msg.Event{}, err
	}
	e := msg.Event{
		ClientSeq: line.ClientSeq.Or(w.flags.firstSeq + w.count),
		EventID:   line.EventID,
		Timestamp: line.Timestamp.Or(uint64(time.Now().UnixMilli())),
		Major:     line.Major.Or(w.flags.major),
		Minor:     line.Minor.Or(w.flags.minor),
		Value:     line.Value,
		IV:        line.IV,
	}
	if e.Major == 0 {
		return msg.Key{}, msg.Event{}, errors.New("field major is 0, want at least 1")
	}
	w.count++
	return key, e, nil
}

func (w *writing) keyOf(line batchjson.Line) (msg.Key, error) {
	var ids [3]msg.ID
	for i, part := range []struct {
		name string
		line msg.Opt[msg.ID]
		flag msg.Opt[msg.ID]
	}{
		{"org", line.Org, w.flags.key.Org.Given},
		{"type", line.Type, w.flags.key.Kind.Given},
		{"aggregate", line.Aggregate, w.flags.key.Aggregate.Given},
	} {
		id, ok := part.line.Get()
		if !ok {
			if id, ok = part.flag.Get(); !ok {
				return msg.Key{}, cli.Usagef("neither a field %s nor the flag --%s", part.name, part.name)
			}
		}
		ids[i] = id
	}
	key := msg.Key{Org: ids[0], Type: ids[1], Aggregate: ids[2]}
	if only, ok := w.only.Get(); w.expected.Set && ok && only != key {
		return msg.Key{}, cli.Usagef("--expected-version is for one aggregate, and here is another: %v after %v", key, only)
	}
	w.only = msg.Some(key)
	return key, nil
}

// add collects an event and writes what became complete.
func (w *writing) add(ctx context.Context, number uint64, key msg.Key, e msg.Event) error {
	if len(w.events) > 0 && key != w.key {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if len(w.events) == 0 {
		w.key, w.first = key, number
	}
	w.events, w.last = append(w.events, e), number
	w.size += len(e.Value)
	// A batch that no request can hold is sent off to be refused by the pool
	// before more of it is collected.
	if len(w.events) >= w.flags.batch || w.size > pool.DefaultMaxRequestSize {
		return w.flush(ctx)
	}
	return nil
}

// flush writes the batch collected.
func (w *writing) flush(ctx context.Context) error {
	if len(w.events) == 0 {
		return nil
	}
	version, err := w.client.WriteEvents(ctx, w.key, w.events, w.done.ClientID, pool.WriteOptions{
		DenyCreate: w.flags.denyCreate, ExpectedVersion: w.expected, EnforceIdempotency: w.flags.idempotent, UserID: w.flags.author.User.Given,
	})
	if w.flags.idempotent && msg.Ambiguous(err) && (errors.Is(err, msg.ErrDuplicate) || errors.Is(err, msg.ErrConflict)) {
		version, err = w.landed(ctx, err)
	}
	if err != nil {
		w.events = nil
		return fmt.Errorf("lines %d to %d: %w", w.first, w.last, err)
	}
	key := w.key
	w.done.Lines += uint64(len(w.events))
	w.done.Writes++
	w.done.Org, w.done.Type, w.done.Aggregate, w.done.Version = &key.Org, &key.Type, &key.Aggregate, version
	if w.expected.Set {
		w.expected = msg.Some(version)
	}
	w.events, w.size = w.events[:0], 0
	w.tell()
	return nil
}

// landed looks for the batch among those of this client when a refusal may be
// the echo of its own success: the write was sent twice because the first node
// was lost before it answered. Enforced sequences make the batch unmistakable.
func (w *writing) landed(ctx context.Context, refused error) (uint64, error) {
	own := msg.ReadFilters{IncludeClientID: msg.Some(w.done.ClientID)}
	for batch, err := range readable(ctx, w.client, w.key, own) {
		if err != nil {
			return 0, errors.Join(refused, fmt.Errorf("looking for the events: %w", err))
		}
		if slices.EqualFunc(batch.Events, w.events, sameEvent) {
			return batch.Version, nil
		}
	}
	return 0, refused
}

// sameEvent compares all but what the node assigns.
func sameEvent(a, b msg.Event) bool {
	return a.ClientSeq == b.ClientSeq && a.EventID == b.EventID && a.Timestamp == b.Timestamp &&
		a.Major == b.Major && a.Minor == b.Minor && a.IV == b.IV && bytes.Equal(a.Value, b.Value)
}

// tell reports the progress, at most once a second.
func (w *writing) tell() {
	if w.progress == nil || time.Since(w.told) < time.Second {
		return
	}
	w.told = time.Now()
	fmt.Fprintf(w.progress, "celeriant write: %s in %s\n", cli.Count(w.done.Lines, "event"), cli.Count(w.done.Writes, "write"))
}
