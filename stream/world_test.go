package stream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// The organisation is one of this run's own, so that tests can share a server.
var (
	org      = newOrg()
	typ      = msg.IDFromUint64(2)
	clientID = msg.IDFromUint64(9)
)

func newOrg() msg.ID { return msg.IDFromUint64s(rand.Uint64(), rand.Uint64()) }

func keyOf(n int) msg.Key {
	return msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64(uint64(n))}
}

// world is a node, a pool that nothing disturbs, through which the truth is
// written, and a source whose connections can be cut.
type world struct {
	t     *testing.T
	node  *celerianttest.Node
	calm  *pool.Pool
	cut   *cutter
	rough *pool.Pool
}

func newWorld(t *testing.T, nodeOptions celerianttest.Options, streamPool pool.Options) *world {
	t.Helper()
	if nodeOptions.Clock == nil {
		nodeOptions.Clock = new(strictClock)
	}
	node, err := celerianttest.Start(nodeOptions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	w := worldAt(t, node.Addr(), streamPool)
	w.node = node
	return w
}

// worldAt is a world around a server that is not the test's.
func worldAt(t *testing.T, address string, streamPool pool.Options) *world {
	w := &world{t: t, cut: &cutter{conns: make(map[net.Conn]struct{})}}
	w.calm = newPool(t, pool.Options{Address: address})
	streamPool.Address, streamPool.Dial = address, w.cut.dial
	w.rough = newPool(t, streamPool)
	t.Cleanup(func() {
		_ = w.calm.Close(context.Background())
		_ = w.rough.Close(context.Background())
	})
	return w
}

// strictClock never gives the same millisecond twice. A list tells two batches
// of one version apart by their time alone; a disk would keep them apart, a
// node in memory can write both within a millisecond.
type strictClock struct{ last atomic.Int64 }

func (c *strictClock) Now() time.Time {
	for {
		last := c.last.Load()
		next := max(time.Now().UnixMilli(), last+1)
		if c.last.CompareAndSwap(last, next) {
			return time.UnixMilli(next)
		}
	}
}

func newPool(t *testing.T, o pool.Options) *pool.Pool {
	t.Helper()
	p, err := pool.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) source() stream.Source { return stream.FromPool(w.rough) }

func (w *world) write(key msg.Key, payload string) uint64 {
	w.t.Helper()
	version, err := w.calm.WriteEvents(w.t.Context(), key, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(payload)}}, clientID, pool.WriteOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return version
}

func (w *world) delete(key msg.Key, recreate, continuation bool) {
	w.t.Helper()
	err := w.calm.Delete(w.t.Context(), &msg.DeleteRequest{ClientID: clientID, Deletes: []msg.AggregateDelete{
		{Key: key, AllowRecreate: recreate, AllowSequenceContinuation: continuation},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) trim(key msg.Key, keepFrom uint64) {
	w.t.Helper()
	if err := w.calm.TrimStart(w.t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: keepFrom, ClientID: clientID}); err != nil {
		w.t.Fatal(err)
	}
}

// open starts a subscription that the test closes at its end.
func (w *world) open(scope stream.Scope, o stream.Options) *stream.Subscription {
	w.t.Helper()
	s, err := stream.Open(w.t.Context(), w.source(), scope, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { closeNow(w.t, s) })
	return s
}

func closeNow(t *testing.T, s *stream.Subscription) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// until takes and commits changes until the predicate holds for one of them,
// and returns descriptions of all that came, aggregates by their number.
func until(t *testing.T, s *stream.Subscription, last func(stream.Change) bool) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var seen []string
	for {
		changes, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("after %q: %v", seen, err)
		}
		found := false
		for _, c := range changes {
			seen = append(seen, describe(c))
			found = found || last(c)
		}
		if err := s.Commit(ctx, stream.Entries(changes)); err != nil {
			t.Fatal(err)
		}
		if found {
			return seen
		}
	}
}

func caughtUp(c stream.Change) bool { return c.Kind == stream.CaughtUp }

func describe(c stream.Change) string {
	_, n := c.Key.Aggregate.Uint64s()
	switch c.Kind {
	case stream.Batch:
		return fmt.Sprintf("%d: %d.%d %s", n, c.Cursor.Life, c.Batch.Version, c.Batch.Events[0].Value)
	case stream.Truncated:
		return fmt.Sprintf("%d: truncated %d-%d", n, c.From, c.To)
	case stream.Unreadable:
		return fmt.Sprintf("%d: unreadable %d", n, c.Version)
	case stream.CaughtUp:
		return "caught up"
	}
	return fmt.Sprintf("%d: %v", n, c.Kind)
}

// cutter dials and remembers, so that connections can be cut.
type cutter struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	cuts  atomic.Int64
	down  atomic.Bool
}

type trackedConn struct {
	net.Conn
	cutter *cutter
}

func (c *trackedConn) Close() error {
	c.cutter.mu.Lock()
	delete(c.cutter.conns, c)
	c.cutter.mu.Unlock()
	return c.Conn.Close()
}

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.down.Load() {
		return nil, fmt.Errorf("the network is down")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{conn, c}
	c.mu.Lock()
	c.conns[tracked] = struct{}{}
	c.mu.Unlock()
	return tracked, nil
}

// cutSome closes each connection with the given chance, in the middle of
// whatever it does.
func (c *cutter) cutSome(rng *rand.Rand, chance float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		if rng.Float64() < chance {
			_ = conn.(*trackedConn).Conn.Close()
			delete(c.conns, conn)
			c.cuts.Add(1)
		}
	}
}
