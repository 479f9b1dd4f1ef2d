package natsstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options are the choices of a store. The zero value is a good one.
type Options struct {
	// Stream is the name of the stream, and of its subjects' first token: 1 to 64 of
	// A-Z, a-z, 0-9, _ and -. Empty means "celeriant_checkpoints".
	Stream string
	// Replicas is how many servers keep the stream if Open creates it; 0 means 1. A
	// cluster of three servers loses nothing with one of them at 3.
	Replicas int
	// Journal are the choices of the journals.
	Journal journal.Options
}

const defaultStream = "celeriant_checkpoints"

var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

const (
	// overhead is what a message has beside a record: subject, headers.
	overhead = 1 << 10
	// smallest is the least that a message must hold.
	smallest = 128 << 10
)

// Store is a checkpoint.RecordStore in a stream. See [journal.Store] for what it holds
// in memory and how it behaves.
type Store struct {
	*journal.Store
}

var (
	_ checkpoint.Notifier  = (*Store)(nil)
	_ checkpoint.Exchanger = (*Store)(nil)
)

// Open returns a store that uses conn, which the caller closes after it, or a
// [*ConfigError] for a stream that would lose records. A save is bounded by the largest
// message of the server, by default 1 MiB: 9,800 cursors.
func Open(ctx context.Context, conn *nats.Conn, options Options) (*Store, error) {
	if options.Stream == "" {
		options.Stream = defaultStream
	}
	switch {
	case !streamName.MatchString(options.Stream):
		return nil, fmt.Errorf("natsstore: stream name %q, want 1 to 64 of A-Z, a-z, 0-9, _ and -", options.Stream)
	case options.Replicas < 0 || options.Replicas > 5:
		return nil, fmt.Errorf("natsstore: %d replicas, want 0 to 5", options.Replicas)
	}
	l, err := openLog(ctx, conn, options)
	if err != nil {
		return nil, fmt.Errorf("natsstore: opening stream %s: %w", options.Stream, err)
	}
	return &Store{journal.New(l, options.Journal)}, nil
}

func openLog(ctx context.Context, conn *nats.Conn, options Options) (*log, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, options.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name:        options.Stream,
			Description: "checkpoints of Celeriant subscriptions",
			Subjects:    []string{options.Stream + ".>"},
			Storage:     jetstream.FileStorage,
			Replicas:    max(options.Replicas, 1),
			Discard:     jetstream.DiscardNew,
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody else's, meanwhile
			stream, err = js.Stream(ctx, options.Stream)
		}
	}
	if err != nil {
		return nil, err
	}
	config := stream.CachedInfo().Config
	if err := check(&config); err != nil {
		return nil, err
	}
	largest := int(conn.MaxPayload())
	if config.MaxMsgSize > 0 {
		largest = min(largest, int(config.MaxMsgSize))
	}
	if largest < smallest+overhead {
		return nil, &ConfigError{Stream: options.Stream, Reason: fmt.Sprintf("takes messages of %d bytes, want %d at least", largest, smallest+overhead)}
	}
	return &log{js: js, stream: stream, name: options.Stream, max: largest - overhead}, nil
}
