package pool

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

func aggregate(n uint64) msg.Key { return msg.Key{Aggregate: msg.IDFromUint64(n)} }

// The shard of a request is a guess by the default rule, once their number is known.
func TestHomes(t *testing.T) {
	for _, c := range []struct {
		shards uint64
		req    msg.Request
		want   home
	}{
		{0, &msg.ReadRequest{Key: aggregate(5)}, anyShard},
		{1, &msg.ReadRequest{Key: aggregate(5)}, anyShard},
		{4, &msg.ReadRequest{Key: aggregate(5)}, 2},
		{4, &pageRequest{ReadRequest: msg.ReadRequest{Key: aggregate(8)}}, 1},
		{4, &msg.DetailsRequest{Key: aggregate(7)}, 4},
		{4, &msg.TrimStartRequest{Key: aggregate(6)}, 3},
		{4, &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: aggregate(1)}, {Key: aggregate(5)}}}, 2},
		{4, &msg.WriteRequest{}, anyShard},
		{4, &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: aggregate(3)}}}, 4},
		{4, &msg.DeleteRequest{}, anyShard},
		{4, &msg.ListOrgsRequest{Shard: 2}, 3},
		{4, &msg.ListTypesRequest{Shard: 0}, 1},
		{4, &msg.ListAggregatesRequest{Shard: 3}, 4},
		{4, &msg.ListOrgsRequest{Shard: 4}, anyShard},
		{4, newShardProbe(), anyShard},
		{4, &msg.RegisterSchemaRequest{}, anyShard},
		{3, &msg.ReadRequest{Key: msg.Key{Aggregate: msg.IDFromUint64s(1, 0)}}, 2}, // 2⁶⁴ mod 3 is 1
	} {
		p := new(Pool)
		p.shards.Store(c.shards)
		if got := p.homeOf(c.req); got != c.want {
			t.Errorf("%d shards, %T: home %d, want %d", c.shards, c.req, got, c.want)
		}
	}
}

// A request gets a connection that is at its shard already, before one that is
// nowhere yet, before the one used last.
func TestConnectionsAreTakenByShard(t *testing.T) {
	n := nodeOnListener(t)
	n.opts.MaxConnections = 4
	conns := make([]*conn, 4)
	for i := range conns {
		conns[i] = leaseFor(t, n, anyShard)
	}
	for i, home := range []home{1, 2, anyShard, 1} {
		conns[i].goTo(home)
		n.release(conns[i])
	}
	for i, c := range []struct {
		home home
		want *conn
	}{
		{2, conns[1]},        // at home, though used earlier
		{1, conns[3]},        // of several at home the one used last
		{3, conns[2]},        // nowhere yet
		{anyShard, conns[0]}, // all that is left
	} {
		got := leaseFor(t, n, c.home)
		if got != c.want {
			t.Errorf("lease %d, for home %d: another connection", i, c.home)
		}
		defer n.release(got)
	}
}

// Where none is at home the one used last is taken at once, and the ceiling holds.
func TestShardsAreNoMoreThanAPreference(t *testing.T) {
	n := nodeOnListener(t)
	n.opts.MaxConnections = 1
	c := leaseFor(t, n, 1)
	for _, home := range []home{2, 3, anyShard, 1} {
		n.release(c)
		if got := leaseFor(t, n, home); got != c {
			t.Errorf("home %d: another connection", home)
		}
	}
	n.release(c)
	if s := n.snapshot(); s.Dials != 1 || s.Slots != 1 || s.Idle != 1 {
		t.Errorf("%+v", s)
	}
}

// A connection is opened in the background when one had to leave its shard, so
// that both shards have one from then on.
func TestAnotherShardGetsAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := nodeOfPipes(t, nil)
		first := leaseFor(t, n, 1)
		n.release(first)
		moved := leaseFor(t, n, 2)
		if moved != first {
			t.Error("the lease waited for another connection")
		}
		n.release(moved)
		synctest.Wait()
		if s := n.snapshot(); s.Open != 2 || s.Idle != 2 || s.Slots != 2 {
			t.Errorf("%+v", s)
		}
		back := leaseFor(t, n, 1)
		if back == first {
			t.Error("moved back although another one was free")
		}
		n.release(back)
		for range 10 { // from now on nobody moves
			for home, want := range map[home]*conn{1: back, 2: first} {
				c := leaseFor(t, n, home)
				if c != want {
					t.Errorf("home %d: another connection", home)
				}
				n.release(c)
			}
		}
		if s := n.snapshot(); s.Dials != 2 {
			t.Errorf("%d dials", s.Dials)
		}
	})
}

// What is opened in the background may fail: the slot is free again, and nobody
// waits for it, not even Close.
func TestOpeningInTheBackgroundMayFail(t *testing.T) {
	for name, dial := range map[string]func(context.Context) error{
		"refused": func(context.Context) error { return errors.New("refused") },
		"silent":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := nodeOfPipes(t, dial)
				c := leaseFor(t, n, 1)
				n.release(c)
				for home := range home(4) {
					n.release(leaseFor(t, n, home))
				}
				synctest.Wait()
				if s := n.snapshot(); s.Open != 1 || s.Idle != 1 || s.Slots > 2 {
					t.Errorf("%+v", s)
				}
				if name == "refused" && n.snapshot().Slots != 1 {
					t.Errorf("%+v", n.snapshot())
				}
				begin := time.Now()
				if err := n.pool.Close(context.Background()); err != nil || time.Since(begin) > 0 {
					t.Errorf("closed after %v: %v", time.Since(begin), err)
				}
			})
		})
	}
}

// leaseFor leases like a request for the shard.
func leaseFor(t *testing.T, n *node, home home) *conn {
	t.Helper()
	c, err := n.lease(context.Background(), home, false)
	if err != nil {
		t.Fatal(err)
	}
	c.goTo(home)
	return c
}

// nodeOfPipes is a node that accepts connections; later decides about all but
// the first.
func nodeOfPipes(t *testing.T, later func(context.Context) error) *node {
	dials := 0
	p, err := New(Options{Address: "memory:1", DisableCompression: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if dials++; dials > 1 && later != nil {
			if err := later(ctx); err != nil {
				return nil, err
			}
		}
		client, server := net.Pipe()
		t.Cleanup(func() { server.Close() })
		return client, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p.nodes()[0]
}
