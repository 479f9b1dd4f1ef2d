package pool_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Every success that only a leader can have renews the trust in it; the hook hears of a leader once.
func TestWritesRenewTheTrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "a:1", "b:1")
		opts := c.options("a:1", "b:1")
		told := 0
		opts.Hooks.Leader = func(string) { told++ }
		p := open(t, opts)
		for range 4 {
			if err := writeOne(p); err != nil {
				t.Fatal(err)
			}
			time.Sleep(4 * time.Second)
		}
		c.taken()
		if err := details(ctx, p, 1); err != nil {
			t.Error(err)
		}
		synctest.Wait() // for the question in the background, before the trust runs out
		log := c.taken()
		if slices.Sort(log); !slices.Equal(log, []string{"b:1 details", "b:1 write"}) {
			t.Errorf("%v", log)
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

// A search for the leader follows hints, to nodes not known before as well.
func TestSearchFollowsHints(t *testing.T) {
	c := newCluster(t, "c:1", "a:1", "b:1", "c:1")
	p := open(t, c.options("a:1", "b:1"))
	if err := details(ctx, p, 1); err != nil {
		t.Error(err)
	}
	wantLog(t, c, "a:1 write", "c:1 write", "c:1 details")
}

// A search that finds no leader says what every node did.
func TestSearchTellsWhatNodesSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "", "a:1")
		err := details(ctx, open(t, c.options("a:1", "b:1")), 1)
		all := attemptsOf(err)
		if !errors.Is(err, pool.ErrNoLeader) || len(all) != 2 ||
			!errors.Is(all[0].Err, msg.ErrNotLeader) || !errors.Is(all[1].Err, pool.ErrConnect) {
			t.Error(err)
		}
	})
}

// Callers that look for the leader at the same time ask the nodes once.
func TestSearchesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, leader := range []string{"b:1", ""} {
			c := newCluster(t, leader, "a:1", "b:1")
			opts := c.options("a:1", "b:1")
			dial := opts.Dial
			opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				time.Sleep(10 * time.Millisecond)
				return dial(ctx, network, address)
			}
			p := open(t, opts)
			short, cancel := context.WithTimeout(ctx, 40*time.Millisecond) // ends before the first pause
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					if err := details(short, p, 1); (err == nil) != (leader != "") {
						t.Error(err)
					}
				})
			}
			all.Wait()
			cancel()
			probes := slices.DeleteFunc(c.taken(), func(s string) bool { return !strings.HasSuffix(s, "write") })
			if !slices.Equal(probes, []string{"a:1 write", "b:1 write"}) {
				t.Errorf("leader %q: %v", leader, probes)
			}
		}
	})
}

// stuckSearch is a pool on which one caller is in the middle of a search that
// takes for ever, until proceed is closed.
func stuckSearch(t *testing.T) (p *pool.Pool, proceed chan struct{}, first chan error) {
	c := newCluster(t, "", "a:1", "b:1")
	opts := c.options("a:1", "b:1")
	proceed, first = make(chan struct{}), make(chan error, 1)
	opts.Dial = func(context.Context, string, string) (net.Conn, error) {
		<-proceed
		return nil, errors.New("refused")
	}
	p = open(t, opts)
	go func() { first <- details(ctx, p, 1) }()
	synctest.Wait()
	return p, proceed, first
}

// A caller that waits for another's search leaves with its context, and with the pool.
func TestWaitingForASearchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, proceed, first := stuckSearch(t)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		start := time.Now()
		if err := details(short, p, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		second := make(chan error, 1)
		go func() { second <- details(ctx, p, 1) }()
		synctest.Wait()
		over, stop := context.WithCancel(ctx)
		stop()
		p.Close(over)
		if err := <-second; !errors.Is(err, pool.ErrClosed) {
			t.Error(err)
		}
		close(proceed)
		if err := <-first; !errors.Is(err, pool.ErrClosed) {
			t.Error(err)
		}
	})
}

// A caller waits for a search no longer than its context; the search itself goes on in the
// background, for others.
func TestCallersLeaveASearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, leave := context.WithCancel(ctx)
		c := newCluster(t, "b:1", "a:1", "b:1")
		away := make(chan struct{})
		c.reply = func(address string, _ msg.Request) msg.Response {
			if address != "a:1" {
				return nil
			}
			leave()
			c.mu.Unlock()
			<-away
			c.mu.Lock()
			return hangUp
		}
		p := open(t, c.options("a:1", "b:1"))
		began := time.Now()
		if err := details(over, p, 1); !errors.Is(err, context.Canceled) || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if leader, err := p.Leader(ctx); err != nil || leader != "b:1" {
			t.Errorf("the search found %q, %v", leader, err)
		}
		close(away)
	})
}

// A search that finds somebody deposed does not begin the next write there.
func TestDeposedLeaderIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "a:1", "b:1")
		p := open(t, c.options("a:1", "b:1"))
		if _, err := p.Leader(ctx); err != nil {
			t.Fatal(err)
		}
		c.set(func() { c.leader = "" })
		time.Sleep(6 * time.Second)
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if address, err := p.Leader(short); err == nil {
			t.Errorf("%s leads", address)
		}
		c.set(func() { c.leader = "a:1" })
		c.taken()
		if err := writeOne(p); err != nil {
			t.Error(err)
		}
		wantLog(t, c, "a:1 write")
	})
}

// With an RSA identity the probe carries the proven id. The first one cannot
// know it, and is repeated.
func TestProbesCarryTheProvenID(t *testing.T) {
	pair := keyPair(t)
	c := newCluster(t, "a:1", "a:1", "b:1")
	c.reply = func(_ string, req msg.Request) msg.Response {
		switch r := req.(type) {
		case *msg.IdentifyRequest:
			return &msg.IdentifyResponse{ClientID: msg.Some(pair.ClientID())}
		case *msg.WriteRequest:
			if r.ClientID != pair.ClientID() {
				return &msg.ErrorResponse{Code: msg.CodeClientIDMismatch, Message: "Client ID mismatch"}
			}
		}
		return nil
	}
	opts := c.options("a:1", "b:1")
	opts.Identity = pool.FixedIdentity(pool.Credentials{KeyPair: pair})
	p := open(t, opts)
	if err := details(ctx, p, 1); err != nil {
		t.Error(err)
	}
	wantLog(t, c, "a:1 identify", "a:1 write", "a:1 write", "a:1 details")
}

// Credentials that cannot be had, or are refused, end a search with that.
func TestSearchWithoutCredentials(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1")
	vault := errors.New("the vault is closed")
	opts := c.options("a:1", "b:1")
	opts.Identity = func(context.Context) (pool.Credentials, error) { return pool.Credentials{}, vault }
	p := open(t, opts)
	if err := details(ctx, p, 1); !errors.Is(err, vault) || !errors.Is(err, pool.ErrCredentials) || dials(p, "b:1") != 0 {
		t.Error(err)
	}
}

// Reads at followers leave out the leader from the first one on, and do not ask
// again and again while there is none.
func TestFollowerReadsLearnTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, leader := range []string{"b:1", ""} {
			c := newCluster(t, leader, "a:1", "b:1", "c:1")
			opts := c.options("a:1", "b:1", "c:1")
			opts.RouteReadsToFollowers = true
			p := open(t, opts)
			for range 6 {
				if err := details(ctx, p, 1); err != nil {
					t.Error(err)
				}
			}
			log := c.taken()
			probes := len(slices.DeleteFunc(slices.Clone(log), func(s string) bool { return !strings.HasSuffix(s, "write") }))
			switch {
			case leader != "" && (probes != 2 || slices.Contains(log, "b:1 details")):
				t.Errorf("%v", log)
			case leader == "" && probes != 3:
				t.Errorf("no leader: %v", log)
			}
			if leader != "" {
				continue
			}
			time.Sleep(6 * time.Second)
			c.set(func() { c.leader = "b:1" })
			for range 6 {
				if err := details(ctx, p, 1); err != nil {
					t.Error(err)
				}
			}
			if log := c.taken(); slices.Contains(log, "b:1 details") {
				t.Errorf("later: %v", log)
			}
		}
	})
}

// A read that the leader does not answer, on a fresh connection either, costs one timeout, and is served
// by the node that leads then.
func TestSilentLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, p := pairOf(t, pool.Options{DisableCompression: true}) // so that dialling does not show it
		if _, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := pair.AwaitSettled(ctx); err != nil {
			t.Fatal(err)
		}
		old := pair.Leader()
		if err := pair.Pause(old); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if d, err := p.Details(ctx, key); err != nil || d.MaxVersion != 1 {
			t.Errorf("%+v, %v", d, err)
		}
		if took := time.Since(start); took < pool.DefaultRequestTimeout || took > pool.DefaultRequestTimeout+time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// A node that was silent is asked in the background whether it answers again, also where
// nothing else would be sent there.
func TestSilenceEnds(t *testing.T) {
	for _, paused := range []time.Duration{time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			pair, p := pairOf(t, pool.Options{RouteReadsToFollowers: true})
			if err := errors.Join(writeOne(p), pair.AwaitSettled(ctx)); err != nil {
				t.Fatal(err)
			}
			follower := pair.A()
			if pair.Leader() == follower {
				follower = pair.B()
			}
			silent := func() bool {
				return slices.ContainsFunc(p.Stats().Nodes, func(n pool.NodeStats) bool { return n.Address == follower.Addr() && n.Silent })
			}
			if err := errors.Join(details(ctx, p, 1), pair.Pause(follower)); err != nil && !errors.Is(err, msg.ErrNotFound) {
				t.Fatal(err)
			}
			short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			if err := details(short, p, 1); !errors.Is(err, context.DeadlineExceeded) || !silent() {
				t.Fatalf("%v, silent %v", err, silent())
			}
			time.Sleep(paused)
			if err := pair.Resume(follower); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if paused > 10*time.Second { // the question behind the silent request was given up
				_ = details(ctx, p, 1)
				time.Sleep(time.Second)
			}
			if silent() {
				t.Errorf("paused for %v: silent for good", paused)
			}
		})
	}
}

// A write that must not be repeated, and was not answered, makes the next one
// look for the leader first: the silent node may have been deposed.
func TestSilentLeaderIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, patience := range []time.Duration{time.Minute, time.Second} { // longer and shorter than RequestTimeout
			for _, atA := range []bool{true, false} {
				pair, p := pairOf(t, pool.Options{DisableCompression: true})
				if (pair.Leader() == pair.A()) != atA {
					old := pair.Leader()
					if err := errors.Join(pair.Kill(old), pair.Restart(old)); err != nil {
						t.Fatal(err)
					}
				}
				if err := errors.Join(writeOne(p), pair.AwaitSettled(ctx)); err != nil {
					t.Fatal(err)
				}
				if err := pair.Pause(pair.Leader()); err != nil {
					t.Fatal(err)
				}
				short, cancel := context.WithTimeout(ctx, patience)
				if err := writeOneIn(short, p); !msg.Timeout(err) || !msg.Ambiguous(err) {
					t.Errorf("to the silent node: %v", err)
				}
				cancel()
				if err := writeOne(p); err != nil {
					t.Errorf("the next one: %v", err)
				}
			}
		}
	})
}

// A cancelled write is no evidence against the leader.
func TestCancelledWriteKeepsTheLeader(t *testing.T) {
	over, leave := context.WithCancel(ctx)
	c := newCluster(t, "b:1", "a:1", "b:1")
	p := open(t, c.options("a:1", "b:1"))
	if err := writeOne(p); err != nil {
		t.Fatal(err)
	}
	c.set(func() { c.reply = func(string, msg.Request) msg.Response { leave(); return hangUp } })
	if err := writeOneIn(over, p); !msg.Ambiguous(err) {
		t.Error(err)
	}
	c.set(func() { c.reply = nil })
	c.taken()
	if err := writeOne(p); err != nil {
		t.Error(err)
	}
	wantLog(t, c, "b:1 write")
}
