package redisstore

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/internal/notify"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/redis/go-redis/v9"
)

// Options are the choices of a store. The zero value is a good one.
type Options struct {
	// Prefix begins the names of all keys: at most 64 bytes of printable ASCII without
	// spaces and braces. Empty means "celeriant:". Stores of different prefixes in one
	// database do not see each other.
	Prefix string
	// AllowEviction opens a store on a server that may evict its keys. A subscription
	// of which keys were evicted ends or begins anew.
	AllowEviction bool
}

const (
	defaultPrefix = "celeriant:"
	maxPrefix     = 64
)

// Store is a checkpoint.RecordStore in Redis or Valkey. Any number of stores, in any
// processes, may use the same keys. A Store holds nothing in memory.
type Store struct {
	client redis.UniversalClient
	prefix string
	hub    notify.Hub

	mu       sync.Mutex
	closed   bool
	watching bool
	// calls are those at work.
	calls sync.WaitGroup
	// ctx ends with Close; what runs in the background is counted in background.
	ctx        context.Context
	cancel     context.CancelFunc
	background sync.WaitGroup
}

var (
	_ checkpoint.RecordStore = (*Store)(nil)
	_ checkpoint.Notifier    = (*Store)(nil)
)

// Open returns a store that uses client, which the caller closes after it, or an
// [*EvictionError] for a server that may evict the keys. The user needs the rights
// to read and write keys that begin with the prefix, to publish and subscribe to
// "<prefix>changes", and to run scripts, TIME and INFO.
func Open(ctx context.Context, client redis.UniversalClient, options Options) (*Store, error) {
	if options.Prefix == "" {
		options.Prefix = defaultPrefix
	}
	if len(options.Prefix) > maxPrefix {
		return nil, fmt.Errorf("redisstore: a prefix of %d bytes, the limit is %d", len(options.Prefix), maxPrefix)
	}
	for _, r := range options.Prefix {
		if r <= ' ' || r > '~' || r == '{' || r == '}' {
			return nil, fmt.Errorf("redisstore: prefix %q, want printable ASCII without spaces and braces", options.Prefix)
		}
	}
	if err := checkServers(ctx, client, options.AllowEviction); err != nil {
		return nil, fmt.Errorf("redisstore: opening: %w", err)
	}
	s := &Store{client: client, prefix: options.Prefix}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// call runs a call that should start, and says what was being done if it fails.
// Refusals say enough already.
func (s *Store) call(ctx context.Context, doing, name string, do func() error) error {
	err := s.begin(ctx, name)
	if err == nil {
		defer s.calls.Done()
		err = do()
	}
	if err == nil || checkpoint.IsRefusal(err) {
		return err
	}
	return fmt.Errorf("redisstore: %s %q: %w", doing, name, err)
}

func (s *Store) begin(ctx context.Context, name string) error {
	if name != "" {
		if err := checkpoint.CheckName(name); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return checkpoint.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// Acquire implements checkpoint.Store.
func (s *Store) Acquire(ctx context.Context, claim checkpoint.Claim) (checkpoint.Owner, error) {
	if err := claim.Check(); err != nil {
		return checkpoint.Owner{}, err
	}
	var next checkpoint.Ownership
	err := s.call(ctx, "acquiring", claim.Name, func() error {
		// In a slot of its own; a name without a claim does no harm there.
		err := s.client.SAdd(ctx, s.names(), claim.Name).Err()
		if err == nil {
			token := checkpoint.NewToken()
			next, err = s.own(ctx, claim.Name, func(o checkpoint.Ownership) (checkpoint.Ownership, bool, error) {
				return o.Claim(claim, token)
			})
		}
		return err
	})
	if err != nil {
		return checkpoint.Owner{}, err
	}
	return next.Owner(claim.Name), nil
}

// Delete implements checkpoint.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	return s.call(ctx, "deleting", name, func() error {
		_, err := s.own(ctx, name, func(o checkpoint.Ownership) (checkpoint.Ownership, bool, error) {
			if o.Epoch == 0 {
				return o, false, nil
			}
			return o.Delete(), false, nil
		})
		return err
	})
}

// Load implements checkpoint.Store and asks the primary, for 10,000 cursors at a
// time.
func (s *Store) Load(ctx context.Context, name string, keys []msg.Key) (cursors []checkpoint.Cursor, err error) {
	if err := checkpoint.CheckName(name); err != nil {
		return nil, err
	}
	err = s.call(ctx, "loading", name, func() error {
		cursors = make([]checkpoint.Cursor, 0, len(keys))
		for page := range slices.Chunk(keys, 10_000) {
			fields := make([]string, len(page))
			for i := range page {
				fields[i] = fieldOf(page[i])
			}
			v, err := s.see(ctx, name, &checkpoint.Mutation{}, fields)
			if err != nil {
				return err
			}
			for _, text := range v.cursors {
				c, err := decodeCursor(s.tag(name)+"cursors", text)
				if err != nil {
					return err
				}
				cursors = append(cursors, c)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return cursors, nil
}

// Save implements checkpoint.Store. More than [MaxEntries] entries are refused with a
// [*checkpoint.SizeError].
func (s *Store) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	return s.Apply(ctx, owner.Name, checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: entries})
}

// Apply implements checkpoint.RecordStore, with the limit of Save.
func (s *Store) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if err := m.Check(name); err != nil {
		return err
	}
	return s.call(ctx, "changing", name, func() error { return s.apply(ctx, name, &m, nil) })
}

// Records implements checkpoint.RecordStore. The time is the server's.
func (s *Store) Records(ctx context.Context, name, prefix string) (records []checkpoint.Record, now time.Time, err error) {
	err = s.call(ctx, "reading the records of", name, func() error {
		low, high := bounds(prefix)
		reply, err := list.Run(ctx, s.client, s.keysOf(name, "")[:keyOp], low, high).StringSlice()
		if err != nil {
			return err
		}
		if len(reply) < 2 || len(reply)%2 != 0 {
			return fmt.Errorf("the server answered a script with %d values", len(reply))
		}
		seconds, err1 := strconv.ParseInt(reply[0], 10, 64)
		micros, err2 := strconv.ParseInt(reply[1], 10, 64)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("the server says that the time is %q and %q", reply[0], reply[1])
		}
		now = time.Unix(seconds, micros*1000)
		for pair := range slices.Chunk(reply[2:], 2) {
			value := []byte(pair[1])
			records = append(records, checkpoint.Record{Key: pair[0], Value: value, Revision: checkpoint.RevisionOf(value)})
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return records, now, nil
}

// Describe implements checkpoint.RecordStore.
func (s *Store) Describe(ctx context.Context, name string) (o checkpoint.Ownership, err error) {
	if err := checkpoint.CheckName(name); err != nil {
		return o, err
	}
	err = s.call(ctx, "describing", name, func() error {
		v, err := s.see(ctx, name, &checkpoint.Mutation{}, nil)
		o = v.own.Ownership
		return err
	})
	return o, err
}

// Names implements checkpoint.RecordStore.
func (s *Store) Names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var names []string
		err := s.call(ctx, "listing the names of", "", func() (err error) {
			names, err = s.client.SMembers(ctx, s.names()).Result()
			return err
		})
		slices.Sort(names)
		for _, name := range names {
			var o checkpoint.Ownership
			if o, err = s.Describe(ctx, name); err != nil {
				break
			}
			if o.Claimed && !yield(name, nil) {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

// Scan implements checkpoint.Store and holds the keys of the subscription while
// it runs, since Redis may show a field twice.
func (s *Store) Scan(ctx context.Context, name string) iter.Seq2[checkpoint.Entry, error] {
	return func(yield func(checkpoint.Entry, error) bool) {
		seen := make(map[msg.Key]struct{})
		err := checkpoint.CheckName(name)
		for cursor, more := uint64(0), true; more && err == nil; {
			var page []string
			err = s.call(ctx, "scanning", name, func() (err error) {
				page, cursor, err = s.client.HScan(ctx, s.keysOf(name, "")[keyCursors], cursor, "", 1024).Result()
				return err
			})
			more = cursor != 0
			for pair := range slices.Chunk(page, 2) {
				var e checkpoint.Entry
				if e, err = s.entry(name, pair); err != nil {
					break
				}
				if _, again := seen[e.Key]; again {
					continue
				}
				seen[e.Key] = struct{}{}
				if !yield(e, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(checkpoint.Entry{}, err)
		}
	}
}

func (s *Store) entry(name string, pair []string) (e checkpoint.Entry, err error) {
	if e.Key, err = checkpoint.ParseKey([]byte(pair[0])); err == nil {
		e.Cursor, err = decodeCursor(s.tag(name)+"cursors", pair[1])
	}
	return e, err
}

// Close implements checkpoint.Store and waits for the calls at work.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	s.cancel()
	s.background.Wait()
	return nil
}
