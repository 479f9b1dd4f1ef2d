package logstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// log keeps the journals of journal.Store in aggregates: a record is the only event
// of a batch, its number the batch's version.
type log struct {
	client *pool.Pool
	leader *pool.View
	org    msg.ID
	writer msg.ID
	max    int

	mu sync.Mutex
	// names are those of the aggregates that were asked for.
	names map[msg.ID]string
}

// namespace makes the ids of the journals; it is the same in every release.
var namespace = msg.IDFromName(checkpoint.JournalType(), "journal of")

func (l *log) key(name string) msg.Key {
	id := msg.IDFromName(namespace, name)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[id] = name
	return msg.Key{Org: l.org, Type: checkpoint.JournalType(), Aggregate: id}
}

func (l *log) known(id msg.ID) (name string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, ok = l.names[id]
	return name, ok
}

// Append implements journal.Log.
func (l *log) Append(ctx context.Context, name string, last uint64, data []byte) (journal.Record, error) {
	key := l.key(name)
	version, err := l.write(ctx, key, last, data)
	if errors.Is(err, msg.ErrConflict) {
		version, err = l.writeRecreated(ctx, key, last, data, err)
	}
	if errors.Is(err, msg.ErrConflict) {
		return journal.Record{}, journal.ErrBehind
	}
	return journal.Record{Number: version, Data: data}, err
}

func (l *log) write(ctx context.Context, key msg.Key, last uint64, data []byte) (uint64, error) {
	event := msg.Event{ClientSeq: last + 1, Major: 1, Timestamp: uint64(time.Now().UnixMilli()), Value: data}
	return l.client.WriteEvents(ctx, key, []msg.Event{event}, l.writer, pool.WriteOptions{ExpectedVersion: msg.Some(last)})
}

// writeRecreated writes behind record last of an aggregate that is at another version,
// if there is no record behind it all the same: one that somebody deleted keeps the
// version it had, also with the first batch of its next life. Otherwise it returns the
// conflict.
func (l *log) writeRecreated(ctx context.Context, key msg.Key, last uint64, data []byte, conflict error) (uint64, error) {
	details, err := l.leader.Details(ctx, key)
	if err != nil {
		return 0, err
	}
	if !details.Deleted {
		for _, err := range l.leader.ReadAll(ctx, key, msg.ReadFilters{From: max(last+1, details.MinVersion)}) {
			if err == nil {
				err = conflict
			}
			return 0, err
		}
	}
	return l.write(ctx, key, details.MaxVersion, data)
}

// Read implements journal.Log.
func (l *log) Read(ctx context.Context, name string, after uint64) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		key := l.key(name)
		for {
			again := false
			for batch, err := range l.leader.ReadAll(ctx, key, msg.ReadFilters{From: after + 1}) {
				var trimmed *msg.ServerError
				switch {
				case errors.Is(err, msg.ErrNotFound):
					return // none yet, or deleted
				case errors.As(err, &trimmed) && trimmed.Code == msg.CodeVersionUnavailable:
					floor, err := l.floor(ctx, key)
					if err == nil && floor <= after+1 {
						err = fmt.Errorf("version %d of %v is not available, but %d is the lowest", after+1, key, floor)
					}
					if err != nil {
						yield(journal.Record{}, err)
						return
					}
					after, again = floor-1, true
				case err != nil:
					yield(journal.Record{}, err)
					return
				case batch.Version <= after:
					// A follower that was restarted may show a batch twice.
				case len(batch.Events) != 1:
					yield(journal.Record{}, fmt.Errorf("batch %d of %v has %d events, a record is one", batch.Version, key, len(batch.Events)))
					return
				default:
					after = batch.Version
					if !yield(journal.Record{Number: batch.Version, Data: batch.Events[0].Value}, nil) {
						return
					}
				}
			}
			if !again {
				return
			}
		}
	}
}

// floor is the lowest version that can be read.
func (l *log) floor(ctx context.Context, key msg.Key) (uint64, error) {
	details, err := l.leader.Details(ctx, key)
	if err != nil {
		return 0, err
	}
	return details.MinVersion, nil
}

// Trim implements journal.Log.
func (l *log) Trim(ctx context.Context, name string, first uint64) error {
	return l.client.TrimStart(ctx, &msg.TrimStartRequest{Key: l.key(name), KeepFrom: first, ClientID: l.writer})
}

// Names implements journal.Log.
func (l *log) Names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		only := pool.ListAggregatesOptions{Org: msg.Some(l.org), Type: msg.Some(checkpoint.JournalType())}
		for item, err := range l.leader.ListAggregates(ctx, only) {
			var name string
			if err == nil {
				name, err = l.nameOf(ctx, item.Key)
			}
			if errors.Is(err, msg.ErrNotFound) {
				continue // deleted meanwhile
			}
			if !yield(name, err) || err != nil {
				return
			}
		}
	}
}

// nameOf reads the name of a journal in its first record.
func (l *log) nameOf(ctx context.Context, key msg.Key) (string, error) {
	if name, ok := l.known(key.Aggregate); ok {
		return name, nil
	}
	floor, err := l.floor(ctx, key)
	if err != nil {
		return "", err
	}
	for batch, err := range l.leader.ReadAll(ctx, key, msg.ReadFilters{From: floor, To: msg.Some(floor)}) {
		if err != nil {
			return "", err
		}
		if len(batch.Events) == 1 {
			return journal.NameOf(batch.Events[0].Value)
		}
	}
	return "", fmt.Errorf("aggregate %v is no journal", key)
}

// Watch implements journal.Log: one watch for each shard.
func (l *log) Watch(ctx context.Context, ready func(), changed func(string)) error {
	shards, err := l.client.Shards(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watches sync.WaitGroup
	defer watches.Wait()
	for shard := range shards {
		w, err := l.client.Watch(ctx, &msg.WatchRequest{
			Shard: msg.Some(shard), Orgs: []msg.ID{l.org}, Types: []msg.ID{checkpoint.JournalType()},
		})
		if err != nil {
			cancel(err)
			return err
		}
		watches.Go(func() {
			defer w.Close()
			for {
				notifications, err := w.Next(ctx)
				if err != nil {
					cancel(err)
					return
				}
				for i := range notifications {
					if name, ok := l.known(notifications[i].Key.Aggregate); ok {
						changed(name)
					}
				}
			}
		})
	}
	ready()
	<-ctx.Done()
	return context.Cause(ctx)
}

// MaxRecord implements journal.Log.
func (l *log) MaxRecord() int { return l.max }

// Close implements journal.Log; the pool is the caller's.
func (l *log) Close() error { return nil }
