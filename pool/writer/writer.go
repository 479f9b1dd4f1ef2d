package writer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// The defaults that zero options stand for.
const (
	DefaultTries = 3
	DefaultPause = 100 * time.Millisecond
)

const (
	maxTries = 100
	maxPause = time.Minute
)

// ErrTries: a command was tried as often as allowed.
var ErrTries = errors.New("tries used up")

// Log is what a Writer reads and writes; a [*pool.Pool] is one, and is read at the
// leader whatever its options say. Reads should show what the leader shows: with
// older ones nothing goes wrong, but tries are used up.
type Log interface {
	ReadAll(ctx context.Context, key msg.Key, filters msg.ReadFilters) iter.Seq2[msg.Batch, error]
	Details(ctx context.Context, key msg.Key) (*msg.DetailsResponse, error)
	Write(ctx context.Context, req *msg.WriteRequest) (*msg.WriteResponse, error)
}

// Options configure a [Writer].
type Options struct {
	// ClientID is the client id of the service, or of one partition of its
	// work: never one per process or per request, since client sequences guard
	// against repetition only under the same id. With an RSA identity it is
	// [pool.KeyPair.ClientID]. Required.
	ClientID msg.ID
	// Sequences gives out client sequences; default they are derived from the
	// log. See [Sequences] for when that is not enough.
	Sequences Sequences
	// Tries is how often a command is attempted; default 3, at most 100.
	Tries int
	// Pause is what is waited before the second try; it doubles with each
	// further one, up to 1 minute, and up to half of Pause is added at random.
	// Default 100 ms, at most 1 minute.
	Pause time.Duration
}

// Writer appends to aggregates so that each command is applied at most once,
// whatever is lost on the way, and usually exactly once. A Writer is safe for
// concurrent use; commands on the same aggregate wait for each other.
type Writer struct {
	log   Log
	opts  Options
	locks keyLocks
}

// New returns a writer to a log. New sends nothing. The error is a
// *[pool.OptionError].
func New(log Log, opts Options) (*Writer, error) {
	opts.Tries = cmp.Or(opts.Tries, DefaultTries)
	opts.Pause = cmp.Or(opts.Pause, DefaultPause)
	if opts.Sequences == nil {
		opts.Sequences = derivedSequences{}
	}
	switch {
	case log == nil:
		return nil, &pool.OptionError{Option: "log", Value: "nil", Limit: "is required"}
	case opts.ClientID.IsZero():
		return nil, &pool.OptionError{Option: "ClientID", Value: opts.ClientID.String(), Limit: "must not be the nil id"}
	case opts.Tries < 1 || opts.Tries > maxTries:
		return nil, &pool.OptionError{Option: "Tries", Value: fmt.Sprint(opts.Tries), Limit: fmt.Sprintf("must lie in 1 to %d", maxTries)}
	case opts.Pause < 0 || opts.Pause > maxPause:
		return nil, &pool.OptionError{Option: "Pause", Value: opts.Pause.String(), Limit: fmt.Sprintf("must lie in 0 to %v", maxPause)}
	}
	if p, ok := log.(*pool.Pool); ok {
		log = p.AtLeader()
	}
	return &Writer{log: log, opts: opts}, nil
}

// Command names one intention on one aggregate.
type Command struct {
	Key msg.Key
	// ID is the command's own id. Its first event gets it as EventID, by which
	// a command that has been applied is known, in place of the fresh id that an
	// events.Registry gave it: repeat a command under the same id, and use no id
	// twice. Required.
	ID msg.ID
	// UserID is stored with the batch.
	UserID msg.Opt[msg.ID]
	// DenyCreate refuses an aggregate that was never seen (msg.ErrNotFound).
	DenyCreate bool
}

// Decision is how a command handler works on a state of type S. Its functions
// are called from the goroutine of Execute.
type Decision[S any] struct {
	// New makes the state before the first batch; default the zero S. New is
	// called again when the aggregate turns out to have begun anew.
	New func() S
	// Apply takes a batch into the state. The batch owns its memory.
	Apply func(state S, batch msg.Batch) (S, error)
	// Decide returns the events to append, none for nothing to do, or why the
	// command is refused. Decide is called for each try with the state of the
	// aggregate at that version, 0 for one never seen; it may decide otherwise
	// than before. ClientSeq and the first EventID are filled in afterwards.
	Decide func(state S, version uint64) ([]msg.Event, error)
}

// Outcome is what became of a command.
type Outcome struct {
	// Version is the version of the command's batch or, when there was nothing
	// to append, the version that was decided on.
	Version uint64
	// Appended tells that the command has a batch.
	Appended bool
	// AlreadyApplied tells that the batch was found in the log: an earlier try, of
	// this call or one before, had been applied, and its answer was lost.
	AlreadyApplied bool
	// Tries is how many writes this call has sent.
	Tries int
}

// Execute reads the aggregate, decides, and appends on the condition that
// nothing has been appended since; on a conflict it reads what is new and
// decides again, at most Tries times.
//
// A try whose outcome is unknown keeps its client sequence until it is known,
// so that it cannot be applied beside its repetition. When a node says that a
// sequence is stored already, the batch that holds it is read: it is the
// command's own, or somebody else's who shares the client id; when it cannot be
// read the sequence is kept and tried again.
//
// The error is a *[CommandError]; the error of Decide or Apply is in its chain.
// When ctx ends the outcome may be unknown, as for every failure that
// msg.Ambiguous reports: calling again with the same command is always safe.
func Execute[S any](ctx context.Context, w *Writer, cmd Command, decision Decision[S]) (Outcome, error) {
	h := &history[S]{log: w.log, clientID: w.opts.ClientID, cmd: cmd, decision: decision}
	return w.run(ctx, cmd, h, true)
}

// Append appends fixed events whatever has been appended before, as producers
// do that do not read. Otherwise it is Execute. Of the aggregate only the
// client's own batches are read. The first write is unconditional; once the
// outcome of a write is unknown, those that follow in its place are conditional on
// the version of the aggregate, since another leader may not know the sequence of
// a write that the lost one had taken. A later call knows of such a write only
// from [Sequences] that remember it: use [FileSequences] where a producer
// repeats commands after a crash.
func (w *Writer) Append(ctx context.Context, cmd Command, events []msg.Event) (Outcome, error) {
	h := &history[struct{}]{log: w.log, clientID: w.opts.ClientID, cmd: cmd, ownOnly: true, decision: Decision[struct{}]{
		Decide: func(struct{}, uint64) ([]msg.Event, error) { return events, nil },
	}}
	return w.run(ctx, cmd, h, false)
}

// CommandError is the failure of a command.
type CommandError struct {
	Command msg.ID
	Key     msg.Key
	// Tries is how many writes were sent.
	Tries int
	// Unknown tells that the command may have been applied or still be. Repeat
	// it under the same id to learn more.
	Unknown bool
	// Err is the cause, of the last try if there were several.
	Err error
}

// Error names the command, the aggregate, the tries and the cause.
func (e *CommandError) Error() string {
	text := fmt.Sprintf("writer: command %v on %v, %d tries: %v", e.Command, e.Key, e.Tries, e.Err)
	if e.Unknown {
		text += ": outcome unknown until repeated"
	}
	return text
}

// Unwrap returns the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// Ambiguous reports whether the command may have been applied.
func (e *CommandError) Ambiguous() bool { return e.Unknown }

// SafeToRetry reports whether the command was certainly not applied and may
// succeed later: after conflicts, too, since it will be decided anew. (To
// repeat it under the same id is always safe.)
func (e *CommandError) SafeToRetry() bool {
	return !e.Unknown && (errors.Is(e.Err, ErrTries) || msg.SafeToRetry(e.Err))
}
