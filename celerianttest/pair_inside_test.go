package celerianttest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/cluster"
	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// insidePair runs a test with a pair in virtual time.
func insidePair(t *testing.T, test func(*testing.T, *Pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, RunPair(t, PairOptions{Options: Options{InMemory: true}})) })
}

// accept does what a request does once all checks before the shard are passed.
func accept(r *replica.Replica) (*replica.Group, bool, *refusal.Refusal) {
	return r.Enter(msg.TypeWriteRequest, func(s *shard.Shard) *refusal.Refusal {
		_, no := s.Write(aWrite(), 1)
		return no
	})
}

func tailOf(r *replica.Replica) (tail uint64) {
	r.Look(func(s *shard.Shard) { tail = s.Tail() })
	return tail
}

func failOver(t *testing.T, p *Pair) {
	t.Helper()
	if err := p.FailOver(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
}

// TestNothingIsAcceptedAfterADeposition: a request that passed the check of the
// role before must not reach the log behind the leader's.
func TestNothingIsAcceptedAfterADeposition(t *testing.T) {
	insidePair(t, func(t *testing.T, p *Pair) {
		failOver(t, p)
		r := p.A().server.Replicas[0]
		if _, _, no := accept(r); no == nil || no.Code != msg.CodeWriteNotLeader {
			t.Errorf("refusal %v", no)
		}
		if tailOf(r) != 0 {
			t.Error("a follower wrote to its log")
		}
	})
}

// TestGroupOfAnEarlierTerm: its records were dropped when the node followed in
// between, so they must not be acknowledged with those of a later term.
func TestGroupOfAnEarlierTerm(t *testing.T) {
	insidePair(t, func(t *testing.T, p *Pair) {
		r := p.A().server.Replicas[0]
		old, leads, no := accept(r)
		if no != nil || !leads {
			t.Fatalf("leads %v, %v", leads, no)
		}
		failOver(t, p)
		if tailOf(r) != 0 {
			t.Fatal("the tail was not dropped")
		}
		failOver(t, p)
		next, leads, no := accept(r)
		if no != nil || !leads || next == old {
			t.Fatalf("a record of term 3 joined a group of term 1: %v", no)
		}
		r.Lead(context.Background(), old)
		if !errors.Is(old.Err, replica.ErrReplication) {
			t.Errorf("a record that is lost was acknowledged: %v", old.Err)
		}
		r.Lead(context.Background(), next)
		if next.Err != nil || tailOf(r) != 1 {
			t.Errorf("a record of this term: %v", next.Err)
		}
	})
}

// TestRestartForgetsEarlierAccidents, or a node whose time of being behind was
// cut short by a kill would be behind for ever.
func TestRestartForgetsEarlierAccidents(t *testing.T) {
	insidePair(t, func(t *testing.T, p *Pair) {
		p.under(func() { p.states[1].behind, p.states[1].repeats = true, true })
		if err := p.Restart(p.B()); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if s := p.states[1]; s.behind || s.repeats {
			t.Error("an accident outlived its process")
		}
	})
}

// A timer that is set anew, or stopped, while its function waits for the lock does not call it.
func TestTimerSetAnew(t *testing.T) {
	for name, change := range map[string]func(*replica.Timer){
		"set":  func(a *replica.Timer) { a.Set(time.Hour) },
		"stop": func(a *replica.Timer) { a.Stop() },
	} {
		var mu sync.Mutex
		rung := make(chan struct{}, 1)
		mu.Lock()
		a := replica.NewTimer(&mu, func() { rung <- struct{}{} })
		a.Set(time.Microsecond)
		time.Sleep(20 * time.Millisecond) // it waits for the lock
		change(a)
		mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		select {
		case <-rung:
			t.Errorf("%s: it rang", name)
		default:
		}
		a.Stop()
		mu.Unlock()
	}
}

func TestSuccessor(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*cluster.Cluster)
		want   int
	}{
		"all is well":              {func(*cluster.Cluster) {}, -1},
		"the leader is killed":     {func(c *cluster.Cluster) { c.Kill(0) }, 1},
		"the follower is killed":   {func(c *cluster.Cluster) { c.Kill(1) }, -1},
		"both are killed":          {func(c *cluster.Cluster) { c.Kill(0); c.Kill(1) }, -1},
		"the leader is paused":     {func(c *cluster.Cluster) { c.Members[0].Paused = true }, 1},
		"both are paused":          {func(c *cluster.Cluster) { c.Members[0].Paused, c.Members[1].Paused = true, true }, -1},
		"deposed, the other dead":  {func(c *cluster.Cluster) { c.Kill(1); c.Depose() }, 0},
		"deposed":                  {func(c *cluster.Cluster) { c.Depose() }, 1},
		"deposed and cut":          {func(c *cluster.Cluster) { c.Cut = true; c.Depose() }, 1},
		"cut":                      {func(c *cluster.Cluster) { c.Cut = true }, -1},
		"promoted, the old killed": {func(c *cluster.Cluster) { c.Promote(1); c.Kill(0) }, -1},
	} {
		pair := cluster.New("a", "b")
		c.change(&pair)
		if got := pair.Successor(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
