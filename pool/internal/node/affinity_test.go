package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A request gets a connection that is at its shard already, before one that is
// nowhere yet, before the one used last.
func TestConnectionsAreTakenByShard(t *testing.T) {
	n := newNode(t, settings{maxConnections: 4})
	conns := make([]*leased, 4)
	for i := range conns {
		conns[i] = lease(t, n, anyShard)
	}
	for i, shard := range []Shard{1, 2, anyShard, 1} {
		conns[i].setShard(shard)
		n.release(conns[i])
	}
	for i, c := range []struct {
		shard Shard
		want  *leased
	}{
		{2, conns[1]},        // of the shard, though used earlier
		{1, conns[3]},        // of several of the shard the one used last
		{3, conns[2]},        // nowhere yet
		{anyShard, conns[0]}, // all that is left
	} {
		got := lease(t, n, c.shard)
		if got != c.want {
			t.Errorf("lease %d, for shard %d: another connection", i, c.shard)
		}
		defer n.release(got)
	}
}

// Where none is of the shard the one used last is taken at once, and the ceiling holds.
func TestShardsAreNoMoreThanAPreference(t *testing.T) {
	n := newNode(t, settings{})
	n.config.MaxConnections = 1
	c := lease(t, n, 1)
	for _, shard := range []Shard{2, 3, anyShard, 1} {
		n.release(c)
		if got := lease(t, n, shard); got != c {
			t.Errorf("shard %d: another connection", shard)
		}
	}
	n.release(c)
	if s := n.Stats(); s.Dials != 1 || s.Slots != 1 || s.Idle != 1 {
		t.Errorf("%+v", s)
	}
}

// A connection is opened in the background when one had to leave its shard, so
// that both shards have one from then on.
func TestAnotherShardGetsAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, settings{dial: pipes(t, nil), maxConnections: 10})
		first := lease(t, n, 1)
		n.release(first)
		moved := lease(t, n, 2)
		if moved != first {
			t.Error("the lease waited for another connection")
		}
		n.release(moved)
		synctest.Wait()
		if s := n.Stats(); s.Open != 2 || s.Idle != 2 || s.Slots != 2 {
			t.Errorf("%+v", s)
		}
		back := lease(t, n, 1)
		if back == first {
			t.Error("moved back although another one was free")
		}
		n.release(back)
		for range 10 { // from now on nobody moves
			for shard, want := range map[Shard]*leased{1: back, 2: first} {
				c := lease(t, n, shard)
				if c != want {
					t.Errorf("shard %d: another connection", shard)
				}
				n.release(c)
			}
		}
		if s := n.Stats(); s.Dials != 2 {
			t.Errorf("%d dials", s.Dials)
		}
	})
}

// A connection opened in the background may fail: the slot is free again, and nobody
// waits for it, not even Close.
func TestOpeningInTheBackgroundMayFail(t *testing.T) {
	for name, dial := range map[string]func(context.Context) error{
		"refused": func(context.Context) error { return errors.New("refused") },
		"silent":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, settings{dial: pipes(t, func(ctx context.Context, n int) error {
					if n == 1 {
						return nil
					}
					return dial(ctx)
				}), maxConnections: 10})
				c := lease(t, n, 1)
				n.release(c)
				for shard := range Shard(4) {
					n.release(lease(t, n, shard))
				}
				synctest.Wait()
				if s := n.Stats(); s.Open != 1 || s.Idle != 1 || s.Slots > 2 {
					t.Errorf("%+v", s)
				}
				if name == "refused" && n.Stats().Slots != 1 {
					t.Errorf("%+v", n.Stats())
				}
				n.Close()
				<-n.Drained()
			})
		})
	}
}
