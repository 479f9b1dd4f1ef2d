package operators_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

var (
	org      = msg.IDFromUint64(1)
	typ      = msg.IDFromUint64(2)
	clientID = msg.IDFromUint64(3)
)

func keyOf(n uint64) msg.Key { return msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64(n)} }

// world is a node in memory and a source on it. The world works inside a bubble
// of testing/synctest, whose end must find it closed.
type world struct {
	t     *testing.T
	node  *celerianttest.Node
	pool  *pool.Pool
	store checkpoint.Store
	// handler is the version of what handles the changes.
	handler string
	sub     stream.Consumer // opened last
}

func newWorld(t *testing.T, store checkpoint.Store) *world {
	t.Helper()
	node := celerianttest.Run(t, celerianttest.Options{InMemory: true})
	p, err := pool.New(pool.Options{Address: "node:1", Dial: node.DialContext})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &world{t: t, node: node, pool: p, store: store}
}

// Open makes the world an operators.Source.
func (w *world) Open(ctx context.Context) (stream.Consumer, error) {
	s, err := stream.Open(ctx, stream.FromPool(w.pool), stream.Types(org, typ), stream.Options{Name: "test", Store: w.store, HandlerVersion: w.handler})
	if err != nil {
		return nil, err
	}
	w.sub = s
	return s, nil
}

// write appends a batch of one event for each payload.
func (w *world) write(key uint64, payloads ...string) {
	w.t.Helper()
	events := make([]msg.Event, len(payloads))
	for i, p := range payloads {
		events[i] = msg.Event{ClientSeq: 1, Major: 1, Value: []byte(p)}
	}
	if _, err := w.pool.WriteEvents(context.Background(), keyOf(key), events, clientID, pool.WriteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// version returns what is stored of an aggregate.
func (w *world) version(key uint64) uint64 {
	w.t.Helper()
	cursors, err := w.store.Load(context.Background(), "test", []msg.Key{keyOf(key)})
	if err != nil {
		w.t.Fatal(err)
	}
	return cursors[0].Version
}

// describe is a change in short: "3.1" is version 1 of aggregate 3.
func describe(c stream.Change) string {
	_, n := c.Key.Aggregate.Uint64s()
	switch c.Kind {
	case stream.Batch:
		return fmt.Sprintf("%d.%d", n, c.Batch.Version)
	case stream.CaughtUp:
		return "caught up"
	}
	return fmt.Sprintf("%d %v", n, c.Kind)
}

// recorder is a store that notes what is saved and can be made to fail.
type recorder struct {
	*checkpoint.Memory
	mu    sync.Mutex
	saves []save
	fail  func() error
}

type save struct {
	at      time.Time
	entries []checkpoint.Entry
}

func newRecorder() *recorder { return &recorder{Memory: checkpoint.NewMemory()} }

func (r *recorder) Save(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(); err != nil {
			return err
		}
	}
	if err := r.Memory.Save(ctx, o, entries); err != nil {
		return err
	}
	r.saves = append(r.saves, save{time.Now(), slices.Clone(entries)})
	return nil
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.saves)
}
