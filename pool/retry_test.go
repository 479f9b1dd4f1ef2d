package pool_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// dials is how often the pool has dialled a node.
func dials(p *pool.Pool, address string) uint64 {
	for _, n := range p.Stats().Nodes {
		if n.Address == address {
			return n.Dials
		}
	}
	return 0
}

func guardedWrite(ctx context.Context, p *pool.Pool) error {
	_, err := p.WriteEvents(ctx, key, []msg.Event{{ClientSeq: 1, Major: 1}}, me, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](1)})
	return err
}

func wantLog(t *testing.T, c *cluster, want ...string) {
	t.Helper()
	if log := c.taken(); !slices.Equal(log, want) {
		t.Errorf("%v, want %v", log, want)
	}
}

// An attempt that may have been applied makes the outcome unknown, whatever
// became of those behind it.
func TestUnknownOutcomeIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a:1", "a:1")
		c.reply = func(string, msg.Request) msg.Response { return hangUp }
		err := guardedWrite(ctx, open(t, c.options("a:1", "gone:1")))
		var failure *pool.Error
		if !errors.As(err, &failure) || !failure.Sent || !failure.Unsure || !msg.Ambiguous(err) || !errors.Is(err, pool.ErrNoLeader) {
			t.Errorf("%+v", err)
		}
		all := attemptsOf(err)
		if len(all) != 2 || all[0].Node != "a:1" || all[0].Applied != pool.AppliedUnknown || all[1].Node != "gone:1" || all[1].Applied != pool.AppliedNo {
			t.Errorf("attempts: %+v", all)
		}
	})
}

// When the caller leaves in the middle of an attempt no other node is tried.
func TestNothingBehindTheEndOfTheContext(t *testing.T) {
	over, leave := context.WithCancel(ctx)
	c := newCluster(t, "b:1", "a:1", "b:1")
	c.reply = func(string, msg.Request) msg.Response { leave(); return hangUp }
	p := open(t, c.options("a:1", "b:1"))
	if err := guardedWrite(over, p); !errors.Is(err, context.Canceled) && !errors.Is(err, pool.ErrConnectionLost) {
		t.Error(err)
	}
	if dials(p, "b:1") != 0 {
		t.Error("a write went on to the next node")
	}

	over, leave = context.WithCancel(ctx)
	c = newCluster(t, "b:1", "b:1", "a:1", "c:1")
	opts := c.options("b:1", "a:1", "c:1")
	opts.RouteReadsToFollowers = true
	p = open(t, opts)
	if err := writeOne(p); err != nil {
		t.Fatal(err)
	}
	c.set(func() { c.reply = func(string, msg.Request) msg.Response { leave(); return hangUp } })
	if err := details(over, p, 1); err == nil {
		t.Error("read by nobody")
	}
	if n := dials(p, "a:1") + dials(p, "c:1"); n != 1 {
		t.Errorf("a read went to %d followers", n)
	}
}

// The next round begins where somebody answered, not where every round would
// cost a ConnectTimeout.
func TestRoundsBeginWithASurvivor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "", "b:1")
		opts := c.options("a:1", "b:1")
		dial := opts.Dial
		opts.Dial = blackHole("a:1", dial)
		p := open(t, opts)
		time.AfterFunc(pool.DefaultConnectTimeout+time.Millisecond, func() { c.set(func() { c.leader = "b:1" }) })
		if err := writeOne(p); err != nil {
			t.Error(err)
		}
		if n := dials(p, "a:1"); n != 1 {
			t.Errorf("the black hole was dialled %d times", n)
		}
	})
}

// A busy leader stays the leader: it is asked again at once, and by reads too.
func TestBusyLeaderStaysTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "a:1", "b:1")
		busy, code := 3, msg.CodeWriteBackpressure
		c.reply = func(address string, req msg.Request) msg.Response {
			if _, ok := req.(*msg.WriteRequest); !ok || address != "b:1" || busy == 0 {
				return nil
			}
			busy--
			return &msg.ErrorResponse{Code: code, Message: "{}"}
		}
		p := open(t, c.options("a:1", "b:1"))
		if err := writeOne(p); err != nil {
			t.Error(err)
		}
		wantLog(t, c, "a:1 write", "b:1 write", "b:1 write", "b:1 write", "b:1 write")
		for _, code = range []msg.Code{msg.CodeWriteBackpressure, msg.CodeServerBusy} {
			c.set(func() { busy = 1000 })
			hasty, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := writeOneIn(hasty, p); !errors.Is(err, msg.ErrBusy) {
				t.Error(err)
			}
			c.taken()
			if err := details(ctx, p, 1); err != nil {
				t.Error(err)
			}
			wantLog(t, c, "b:1 details")
		}
	})
}

// A leader that a write could not reach is not the leader for reads either.
func TestLostLeaderIsDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "a:1", "b:1")
		p := open(t, c.options("a:1", "b:1"))
		if err := writeOne(p); err != nil {
			t.Fatal(err)
		}
		c.set(func() { c.leader, c.down["b:1"] = "", true })
		c.fakes["b:1"].cut()
		hasty, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := writeOneIn(hasty, p); err == nil {
			t.Fatal("written by nobody")
		}
		before := dials(p, "b:1")
		c.set(func() { c.leader = "a:1" })
		c.taken()
		if err := details(ctx, p, 1); err != nil {
			t.Error(err)
		}
		if wantLog(t, c, "a:1 write", "a:1 details"); dials(p, "b:1") != before {
			t.Error("the read went to the lost leader first")
		}

		// A read that cannot reach it looks for another at once, too.
		c.set(func() { c.leader, c.down["b:1"], c.down["a:1"] = "b:1", false, true })
		c.fakes["a:1"].cut()
		start := time.Now()
		if err := details(ctx, p, 1); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// An election ends for a caller when its context does, not after the pause.
func TestPausesEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "", "a:1", "b:1")
		p := open(t, c.options("a:1", "b:1"))
		for name, do := range map[string]func(context.Context, *pool.Pool) error{
			"write": writeOneIn, "read": func(ctx context.Context, p *pool.Pool) error { return details(ctx, p, 1) },
		} {
			for _, limit := range []time.Duration{40, 700, 1900} {
				short, cancel := context.WithTimeout(ctx, limit*time.Millisecond)
				start := time.Now()
				if err := do(short, p); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != limit*time.Millisecond {
					t.Errorf("%s: after %v: %v", name, time.Since(start), err)
				}
				cancel()
			}
		}
	})
}

// Close ends a pause, too.
func TestPausesEndWithThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "", "a:1", "b:1")
		p := open(t, c.options("a:1", "b:1"))
		result := make(chan error)
		go func() { result <- writeOne(p) }()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		start := time.Now()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-result; !errors.Is(err, pool.ErrClosed) || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// Errors of one node alone name it.
func TestErrorsNameTheNode(t *testing.T) {
	c := newCluster(t, "a:1", "a:1")
	c.reply = func(string, msg.Request) msg.Response {
		return &msg.ErrorResponse{Code: msg.CodeDetailsNotFound, Message: "{}"}
	}
	p := open(t, c.options("a:1"))
	var failure *pool.Error
	if err := details(ctx, p, 1); !errors.As(err, &failure) || failure.Node != "a:1" || !failure.Sent || failure.Mutation {
		t.Errorf("%+v", failure)
	}
	c.set(func() { c.reply = func(string, msg.Request) msg.Response { return hangUp } })
	if err := writeOne(p); !errors.As(err, &failure) || failure.Node != "a:1" || !failure.Sent {
		t.Errorf("%+v", failure)
	}
}

// writeOneIn is writeOne inside a context.
func writeOneIn(ctx context.Context, p *pool.Pool) error {
	_, err := p.WriteEvents(ctx, key, []msg.Event{{ClientSeq: 1, Major: 1}}, me, pool.WriteOptions{})
	return err
}

// blackHole swallows what is dialled at one address.
func blackHole(address string, dial pool.DialFunc) pool.DialFunc {
	return func(ctx context.Context, network, to string) (net.Conn, error) {
		if to == address {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return dial(ctx, network, to)
	}
}
