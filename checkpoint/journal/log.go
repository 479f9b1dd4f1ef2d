package journal

import (
	"context"
	"errors"
	"iter"
	"time"
)

// ErrBehind: the journal's last record is another one than the append named.
// Nothing was appended.
var ErrBehind = errors.New("journal: the journal has another last record")

// Record is a record of a journal as its log keeps it.
type Record struct {
	// Number orders the records of a journal: it grows, with gaps or without.
	Number uint64
	// Time is the log's when it was appended; zero if the log knows none.
	Time time.Time
	Data []byte
}

// Log keeps journals: sequences of records, each under a name of at most 255 bytes
// of printable UTF-8; one has the empty name. A Log is safe for concurrent use.
type Log interface {
	// Append adds a record behind the one of number last, or to an empty journal if
	// last is 0, and returns its number and time once it is as durable as the log
	// makes it. Append returns ErrBehind if the last record is another one. After
	// any other error it is open whether the record was, or still will be,
	// appended.
	Append(ctx context.Context, name string, last uint64, data []byte) (Record, error)

	// Read yields the journal's records with numbers greater than after, in their
	// order, up to the last there is. The data is the caller's to keep.
	Read(ctx context.Context, name string, after uint64) iter.Seq2[Record, error]

	// Trim removes the records with numbers below first, now or later; never the
	// last one.
	Trim(ctx context.Context, name string, first uint64) error

	// Names yields the names of the journals that have records.
	Names(ctx context.Context) iter.Seq2[string, error]

	// Watch calls changed with the name of each journal that is appended to, by any
	// process, after the append, until ctx ends or the watch breaks, and ready once
	// it began. Watch may leave out journals that this Log never read or appended
	// to.
	Watch(ctx context.Context, ready func(), changed func(name string)) error

	// MaxRecord is the longest record, in bytes: at least 128 KiB.
	MaxRecord() int

	// Close releases what the log holds. No call is at work then.
	Close() error
}
