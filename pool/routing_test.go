package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// All four not-leader answers are followed, and the leader is remembered.
func TestFollowsNotLeaderAnswers(t *testing.T) {
	for name, mutate := range map[string]func(*pool.Pool) error{
		"write": writeOne,
		"trim":  func(p *pool.Pool) error { return p.TrimStart(ctx, &msg.TrimStartRequest{Key: key}) },
		"delete": func(p *pool.Pool) error {
			return p.Delete(ctx, &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key}}})
		},
		"schema": func(p *pool.Pool) error { return p.RegisterSchema(ctx, &msg.RegisterSchemaRequest{Schema: "{}"}) },
	} {
		c := newCluster(t, "b:1", "a:1", "b:1")
		p := open(t, c.options("a:1")) // knows of b only by the answer
		for range 2 {
			if err := mutate(p); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		var nodes []string
		for _, entry := range c.taken() {
			nodes = append(nodes, entry[:1])
		}
		if !slices.Equal(nodes, []string{"a", "b", "b"}) {
			t.Errorf("%s went to %v", name, nodes)
		}
	}
}

// A hint comes before the nodes that nobody has named.
func TestHintsComeFirst(t *testing.T) {
	c := newCluster(t, "d:1", "a:1", "b:1", "c:1", "d:1")
	if err := writeOne(open(t, c.options("a:1", "b:1", "c:1", "d:1"))); err != nil {
		t.Error(err)
	}
	wantLog(t, c, "a:1 write", "d:1 write")
}

// Hints that lead nowhere do not keep a mutation from the leader.
func TestHintsThatLeadNowhere(t *testing.T) {
	for name, hints := range map[string]map[string]string{
		"none":        {"a:1": "", "b:1": ""},
		"unspecified": {"a:1": "0.0.0.0:10000", "b:1": "[::]:1"},
		"no host":     {"a:1": ":10000", "b:1": "x"},
		"itself":      {"a:1": "a:1", "b:1": "b:1"},
		"a loop":      {"a:1": "b:1", "b:1": "a:1"},
		"unreachable": {"a:1": "gone:1", "b:1": "gone:2"},
	} {
		c := newCluster(t, "c:1", "a:1", "b:1", "c:1")
		c.hints = hints
		p := open(t, c.options("a:1", "b:1", "c:1"))
		if err := writeOne(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		log := c.taken()
		if want := []string{"a:1 write", "b:1 write", "c:1 write"}; !slices.Equal(log, want) {
			t.Errorf("%s: %v", name, log)
		}
		for _, n := range p.Stats().Nodes {
			if strings.HasPrefix(n.Address, "0.0.0.0") || strings.HasPrefix(n.Address, "[") {
				t.Errorf("%s: %s is taken for a node", name, n.Address)
			}
		}
	}
}

func TestMapAddress(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1")
	c.hints["a:1"] = "inside-b:10000"
	opts := c.options("a:1")
	opts.MapAddress = func(advertised string) string { return strings.Replace(advertised, "inside-b:10000", "b:1", 1) }
	if err := writeOne(open(t, opts)); err != nil {
		t.Error(err)
	}
}

// An election is waited out, and polled often enough to be noticed soon.
func TestElectionIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "", "a:1", "b:1")
		p := open(t, c.options("a:1", "b:1"))
		begin := time.Now()
		time.AfterFunc(3*time.Second, func() { c.set(func() { c.leader = "b:1" }) })
		err := writeOne(p)
		if took := time.Since(begin); err != nil || took < 3*time.Second || took > 5*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		c.set(func() { c.leader = "" })
		time.Sleep(6 * time.Second) // nobody trusts b any more
		begin = time.Now()
		time.AfterFunc(3*time.Second, func() { c.set(func() { c.leader = "a:1" }) })
		err = details(ctx, p, 7)
		if took := time.Since(begin); err != nil || took < 3*time.Second || took > 5*time.Second {
			t.Errorf("a read after %v: %v", took, err)
		}
		if log := c.taken(); log[len(log)-1] != "a:1 details" {
			t.Errorf("the read was served by %s", log[len(log)-1])
		}
	})
}

func TestFailoverBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "", "a:1")
		p := open(t, c.options("a:1", "b:1"))
		begin := time.Now()
		err := writeOne(p)
		took := time.Since(begin)
		if !errors.Is(err, pool.ErrNoLeader) || !errors.Is(err, msg.ErrNotLeader) || errors.Is(err, pool.ErrConnect) ||
			took > pool.DefaultFailoverBudget || took < pool.DefaultFailoverBudget-1500*time.Millisecond {
			t.Errorf("after %v: %v", took, err)
		}
		if msg.Ambiguous(err) || !msg.SafeToRetry(err) || !msg.Timeout(err) {
			t.Errorf("%v: wrong verdicts", err)
		}
		if failure := err.(*pool.Error); failure.Node != "" {
			t.Errorf("a cause of no node's is %s's", failure.Node)
		}
		for _, part := range []string{"within 10s", "a:1: node a:1 answered 2011", "b:1: connecting failed"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v: misses %q", err, part)
			}
		}
		if tries := len(c.taken()); tries > 40 {
			t.Errorf("%d tries in one election", tries)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := details(short, p, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read with a deadline of its own: %v", err)
		}
	})
}

// The budget bounds a walk over many nodes that swallow packets, too; the attempt under way
// may end.
func TestFailoverBudgetBoundsAWalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := pool.Options{Address: "a:1", FailoverBudget: 3 * time.Second,
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		for i := range 16 {
			opts.SeedAddresses = append(opts.SeedAddresses, fmt.Sprintf("b%d:1", i))
		}
		p := open(t, opts)
		began := time.Now()
		err := writeOne(p)
		if took := time.Since(began); !errors.Is(err, pool.ErrNoLeader) || took > 3*time.Second+2*pool.DefaultConnectTimeout {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// A busy leader is asked again, not others instead of it.
func TestBusyLeaderIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a:1", "a:1", "b:1")
		busy := 3
		c.reply = func(_ string, req msg.Request) msg.Response {
			if busy--; busy >= 0 {
				return &msg.ErrorResponse{Code: msg.CodeWriteBackpressure, Message: "{}"}
			}
			return nil
		}
		if err := writeOne(open(t, c.options("a:1", "b:1"))); err != nil {
			t.Error(err)
		}
		for _, entry := range c.taken() {
			if entry != "a:1 write" {
				t.Errorf("%s", entry)
			}
		}
	})
}

// A request that may have been applied is sent again only where the node can refuse the
// second application; where it does, the outcome is still called unknown.
func TestNothingIsAppliedTwice(t *testing.T) {
	version := msg.Some[uint64](1)
	event := []msg.Event{{ClientSeq: 1, Major: 1}}
	write := func(o pool.WriteOptions, events []msg.Event) func(*pool.Pool) error {
		return func(p *pool.Pool) error {
			_, err := p.WriteEvents(ctx, key, events, me, o)
			return err
		}
	}
	remove := func(expected msg.Opt[uint64]) func(*pool.Pool) error {
		return func(p *pool.Pool) error {
			return p.Delete(ctx, &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key, ExpectedVersion: expected}}})
		}
	}
	mixed := func(p *pool.Pool) error {
		_, err := p.Write(ctx, &msg.WriteRequest{Writes: []msg.AggregateWrite{
			{Key: key, Events: event, ExpectedVersion: version}, {Key: keyOf(9), Events: event}}})
		return err
	}
	for _, c := range []struct {
		name   string
		mutate func(*pool.Pool) error
		again  bool
	}{
		{"unconditional write", write(pool.WriteOptions{}, event), false},
		{"one part unconditional", mixed, false},
		{"unconditional delete", remove(msg.None[uint64]()), false},
		{"expected version", write(pool.WriteOptions{ExpectedVersion: version}, event), true},
		{"enforced sequence", write(pool.WriteOptions{EnforceIdempotency: true}, event), true},
		{"delete of a version", remove(version), true},
		{"trim", func(p *pool.Pool) error { return p.TrimStart(ctx, &msg.TrimStartRequest{Key: key}) }, true},
		{"schema", func(p *pool.Pool) error { return p.RegisterSchema(ctx, &msg.RegisterSchemaRequest{Schema: "{}"}) }, true},
	} {
		for _, lost := range []struct {
			name string
			resp msg.Response
		}{
			{"connection", hangUp},
			{"replication", &msg.ErrorResponse{Code: msg.CodeWriteReplication, Message: "{}"}},
		} {
			for _, echoed := range []bool{false, true} {
				t.Run(c.name+", "+lost.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						cl := newCluster(t, "a:1", "a:1")
						got := 0
						cl.reply = func(string, msg.Request) msg.Response {
							switch got++; {
							case got == 1:
								return lost.resp
							case echoed:
								return &msg.ErrorResponse{Code: msg.CodeVersionConflict, Message: "{}"}
							}
							return nil
						}
						err := c.mutate(open(t, cl.options("a:1")))
						switch {
						case !c.again && (got != 1 || !msg.Ambiguous(err)):
							t.Errorf("sent %d times: %v", got, err)
						case c.again && got != 2:
							t.Errorf("sent %d times: %v", got, err)
						case c.again && !echoed && err != nil:
							t.Error(err)
						case c.again && echoed && (!msg.Ambiguous(err) || msg.SafeToRetry(err) || !errors.Is(err, msg.ErrConflict)):
							t.Errorf("the echo of its own success is reported as %v", err)
						}
					})
				})
			}
		}
	}
}

// A process that only reads finds the leader, and notices that it has changed.
func TestReadsFindTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "b:1", "a:1", "b:1")
		var told []string
		opts := c.options("a:1", "b:1")
		opts.Hooks.Leader = func(address string) { told = append(told, address) }
		p := open(t, opts)
		expect := func(want ...string) {
			t.Helper()
			if err := details(ctx, p, 1); err != nil {
				t.Error(err)
			}
			if log := c.taken(); !slices.Equal(log, want) {
				t.Errorf("%v, want %v", log, want)
			}
		}
		expect("a:1 write", "b:1 write", "b:1 details")
		expect("b:1 details")
		c.set(func() { c.leader = "a:1" })
		time.Sleep(2 * time.Second)
		expect("b:1 details") // trusted for five seconds
		time.Sleep(2 * time.Second)
		if err := details(ctx, p, 1); err != nil {
			t.Error(err)
		}
		synctest.Wait() // meanwhile it is asked again, before that time is over
		log := c.taken()
		if slices.Sort(log); !slices.Equal(log, []string{"b:1 details", "b:1 write"}) {
			t.Errorf("%v", log)
		}
		expect("a:1 write", "a:1 details")
		c.set(func() { c.leader, c.down["a:1"] = "b:1", true; c.fakes["a:1"].cut() })
		time.Sleep(time.Second)
		if err := details(ctx, p, 1); err != nil {
			t.Error(err)
		}
		if !slices.Equal(told, []string{"b:1", "a:1", "b:1"}) {
			t.Errorf("leaders told: %v", told)
		}
	})
}

// With a key that may only read, the nodes do not tell who leads.
func TestReadOnlyCredentialsReadInOrder(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1")
	c.reply = func(_ string, req msg.Request) msg.Response {
		if req.RequestType().Mutates() {
			return &msg.ErrorResponse{Code: msg.CodeReadOnlyKey, Message: "read-only"}
		}
		return nil
	}
	p := open(t, c.options("a:1", "b:1"))
	if err := details(ctx, p, 1); err != nil {
		t.Error(err)
	}
	if log := c.taken(); log[len(log)-1] != "a:1 details" {
		t.Errorf("%v", log)
	}
	for range 20 {
		if err := details(ctx, p, 1); err != nil {
			t.Error(err)
		}
	}
	if log := c.taken(); len(log) > 22 {
		t.Errorf("nodes that do not tell are asked who leads for each read: %v", log)
	}
	if leads, err := p.Leads(ctx, "a:1"); leads != pool.LeadershipUnknown || err != nil {
		t.Errorf("one of two nodes that do not tell: %v, %v", leads, err)
	}
	if leads, err := open(t, c.options("a:1")).Leads(ctx, "a:1"); leads != pool.Leading || err != nil {
		t.Errorf("the one node that is known: %v, %v", leads, err)
	}
}

func TestFollowerReads(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1", "c:1")
	opts := c.options("a:1", "b:1", "c:1")
	opts.RouteReadsToFollowers = true
	p := open(t, opts)
	if err := writeOne(p); err != nil {
		t.Fatal(err)
	}
	c.taken()
	count := map[string]int{}
	for range 10 {
		if err := details(ctx, p, 1); err != nil {
			t.Fatal(err)
		}
		for _, entry := range c.taken() {
			count[entry[:1]]++
		}
	}
	if count["b"] > 0 || count["a"] < 3 || count["c"] < 3 {
		t.Errorf("reads went to %v", count)
	}
	busy := &msg.ErrorResponse{Code: msg.CodeServerBusy, Message: "{}"}
	c.set(func() {
		c.reply = func(address string, _ msg.Request) msg.Response {
			if address == "b:1" {
				return nil
			}
			return busy
		}
	})
	if err := details(ctx, p, 1); err != nil {
		t.Error(err)
	}
	if log := c.taken(); len(log) != 3 || log[2] != "b:1 details" {
		t.Errorf("the leader is not last: %v", log)
	}
	c.set(func() { c.reply = func(string, msg.Request) msg.Response { return busy } })
	if err := details(ctx, p, 1); !errors.Is(err, msg.ErrBusy) || !msg.SafeToRetry(err) {
		t.Errorf("all busy is reported as %v", err)
	}
	c.set(func() {
		c.reply = func(string, msg.Request) msg.Response {
			return &msg.ErrorResponse{Code: msg.CodeDetailsNotFound, Message: "{}"}
		}
	})
	c.taken()
	if err := details(ctx, p, 1); !errors.Is(err, msg.ErrNotFound) || len(c.taken()) != 1 {
		t.Errorf("an answer was not taken for one: %v", err)
	}
}

// Refused credentials are refused everywhere.
func TestRefusedCredentialsAreNotTakenElsewhere(t *testing.T) {
	c := newCluster(t, "b:1", "a:1", "b:1")
	c.reply = func(string, msg.Request) msg.Response {
		return &msg.ErrorResponse{Code: msg.CodeAPIKeyInvalid, Message: "no"}
	}
	p := open(t, c.options("a:1", "b:1"))
	for _, err := range []error{writeOne(p), details(ctx, p, 1)} {
		if !errors.Is(err, msg.ErrUnauthorized) || msg.SafeToRetry(err) || msg.Ambiguous(err) {
			t.Error(err)
		}
	}
	if log := c.taken(); slices.Contains(log, "b:1 write") || len(log) != 2 {
		t.Errorf("%v", log)
	}
}

// Close ends operations that wait for an election.
func TestCloseEndsElections(t *testing.T) {
	c := newCluster(t, "", "a:1", "b:1")
	p := open(t, c.options("a:1", "b:1"))
	result := make(chan error)
	go func() { result <- writeOne(p) }()
	until(t, "both were asked", func() bool { s := p.Stats().Nodes; return s[0].Dials > 0 && s[1].Dials > 0 })
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, pool.ErrClosed) {
		t.Error(err)
	}
}

// A cluster whose nodes change their addresses for ever does not fill the pool.
func TestDiscoveredNodesAreBounded(t *testing.T) {
	c := newCluster(t, "", "a:1")
	p := open(t, c.options("a:1"))
	for n := range 50 {
		address := string(rune('A'+n%26)) + strings.Repeat("x", n) + ":1"
		f := &fake{t: t, script: each(func(_ *peer, req msg.Request) msg.Response { return c.answer(address, req) })}
		t.Cleanup(f.stop)
		c.set(func() {
			for old, was := range c.fakes {
				if c.down[old] = old != "a:1" && old != address; c.down[old] {
					was.cut()
				}
			}
			c.fakes[address], c.leader, c.down[address] = f, address, false
		})
		if err := writeOne(p); err != nil {
			t.Fatalf("node %d: %v", n, err)
		}
	}
	if known := len(p.Stats().Nodes); known > 17 {
		t.Errorf("%d nodes are known", known)
	}
}
