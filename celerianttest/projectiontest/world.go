package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

var (
	org    = msg.IDFromUint64(1)
	typ    = msg.IDFromUint64(2)
	writer = msg.IDFromUint64(3)
)

// Key returns the key of an aggregate of a history, as the projection gets it.
func Key(aggregate int) msg.Key {
	return msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64(uint64(aggregate))}
}

// subscription is the name of consumers, second that of a version which is built beside
// another one.
const subscription, second = "projectiontest", "projectiontest@2"

// limit bounds one run of a consumer.
const limit = 20 * time.Second

// world is a node and the consumers of one history.
type world struct {
	node *celerianttest.Node
	pool *pool.Pool
}

func newWorld() (*world, error) {
	node, err := celerianttest.Start(celerianttest.Options{InMemory: true})
	if err != nil {
		return nil, err
	}
	p, err := pool.New(pool.Options{Address: "node:1", Dial: node.DialContext})
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return &world{node: node, pool: p}, nil
}

func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return errors.Join(w.pool.Close(ctx), w.node.Close())
}

// do makes a step happen. Actions that make no sense, such as a trim of nothing, are left out.
func (w *world) do(ctx context.Context, s Step) error {
	key := Key(s.aggregate)
	var err error
	switch s.kind {
	case write:
		events := slices.Clone(s.events)
		for i := range events {
			events[i].ClientSeq = uint64(i + 1)
		}
		_, err = w.pool.WriteEvents(ctx, key, events, writer, pool.WriteOptions{})
	case remove:
		err = w.pool.Delete(ctx, &msg.DeleteRequest{ClientID: writer, Deletes: []msg.AggregateDelete{{Key: key, AllowRecreate: true}}})
	case trim:
		var details *msg.DetailsResponse
		if details, err = w.pool.Details(ctx, key); err == nil && details.MaxVersion > 1 {
			err = w.pool.TrimStart(ctx, &msg.TrimStartRequest{ClientID: writer, Key: key, KeepFrom: details.MaxVersion})
		}
	}
	if refused := (*msg.ServerError)(nil); s.kind != write && errors.As(err, &refused) {
		return nil // there is no such aggregate
	}
	return err
}

// source opens consumers of the world's node.
type source struct {
	*world
	store checkpoint.Store
	// name is the subscription's, of that which it rebuilds, if any.
	name, of string
	// forget has cursors not stored that a handler's effects went before.
	forget bool

	mu     sync.Mutex
	opened *observed
	ready  chan struct{} // closed when opened is set
}

func (w *world) source(store checkpoint.Store, forget bool) *source {
	return &source{world: w, store: store, name: subscription, forget: forget, ready: make(chan struct{})}
}

// Store makes the source an operators.StoreSource.
func (s *source) Store() checkpoint.Store { return s.store }

// Open implements operators.Source.
func (s *source) Open(ctx context.Context) (stream.Consumer, error) {
	sub, err := stream.Open(ctx, stream.FromPool(s.pool), stream.Types(org, typ), stream.Options{Name: s.name, Store: s.store, RebuildOf: s.of})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != nil {
		return nil, errors.Join(errors.New("projectiontest: a run opens one consumer"), sub.Close(ctx))
	}
	s.opened = &observed{Consumer: sub, forget: s.forget, due: make(map[msg.Key]checkpoint.Cursor), done: make(chan struct{})}
	close(s.ready)
	return s.opened, nil
}

// observed is a consumer that tells when everything that it was given was handled.
type observed struct {
	stream.Consumer
	forget bool

	mu       sync.Mutex
	due      map[msg.Key]checkpoint.Cursor
	caughtUp bool
	done     chan struct{}
	finished bool
}

// Next implements stream.Consumer.
func (o *observed) Next(ctx context.Context) ([]stream.Change, error) {
	changes, err := o.Consumer.Next(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range changes {
		c := &changes[i]
		if c.Moves() {
			o.due[c.Key] = c.Cursor
		}
		o.caughtUp = o.caughtUp || c.Kind == stream.CaughtUp
	}
	o.settle()
	return changes, err
}

// Commit implements stream.Consumer.
func (o *observed) Commit(ctx context.Context, entries []checkpoint.Entry) error {
	if !o.forget {
		if err := o.Consumer.Commit(ctx, entries); err != nil {
			return err
		}
	}
	o.handled(entries)
	return nil
}

// Committed implements stream.Consumer.
func (o *observed) Committed(entries []checkpoint.Entry) {
	o.Consumer.Committed(entries)
	o.handled(entries)
}

func (o *observed) handled(entries []checkpoint.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range entries {
		if e.Cursor.Compare(o.due[e.Key]) >= 0 {
			delete(o.due, e.Key)
		}
	}
	o.settle()
}

func (o *observed) settle() {
	if o.caughtUp && len(o.due) == 0 && !o.finished {
		o.finished = true
		close(o.done)
	}
}

// run runs a consumer until it has handled everything. With another, that one takes
// over in the middle.
func (w *world) run(ctx context.Context, i Instance, forget, takeOver bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("projectiontest: not done after %v", limit))
	defer cancel()
	first, ended := w.begin(ctx, i, forget)
	if takeOver {
		select {
		case <-first.ready:
		case err := <-ended:
			return err
		}
		second, secondEnded := w.begin(ctx, i, forget)
		err := second.finish(ctx, secondEnded)
		cancel()
		<-ended // fenced, or done before
		return err
	}
	err := first.finish(ctx, ended)
	return err
}

var errDone = errors.New("projectiontest: done")

type running struct {
	*source
	cancel context.CancelCauseFunc
}

func (w *world) begin(ctx context.Context, i Instance, forget bool) (running, <-chan error) {
	return i.begin(ctx, w.source(i.Store, forget))
}

func (i Instance) begin(ctx context.Context, s *source) (running, <-chan error) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx, s) }()
	return running{s, cancel}, ended
}

// finish waits until everything was handled, and ends the consumer.
func (r running) finish(ctx context.Context, ended <-chan error) error {
	defer r.cancel(errDone)
	select {
	case <-r.ready:
	case err := <-ended:
		return fmt.Errorf("projectiontest: the consumer ended: %w", err)
	}
	select {
	case <-r.opened.done:
	case err := <-ended:
		return fmt.Errorf("projectiontest: the consumer ended: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.cancel(errDone)
	if err := <-ended; !errors.Is(err, errDone) {
		return fmt.Errorf("projectiontest: the consumer ended: %w", err)
	}
	return nil
}

var _ operators.StoreSource = (*source)(nil)
