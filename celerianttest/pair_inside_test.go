package celerianttest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// insidePair runs a test with a pair in virtual time.
func insidePair(t *testing.T, test func(*testing.T, *Pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, RunPair(t, PairOptions{Options: Options{InMemory: true}})) })
}

// accept does what a request does once all checks before the shard are passed.
func accept(r *replica) (*group, bool, *refusal) {
	return r.enter(msg.TypeWriteRequest, func(s *shard.Shard) *refusal {
		_, no := s.Write(aWrite(), 1)
		return no
	})
}

func tailOf(r *replica) (tail uint64) {
	r.look(func(s *shard.Shard) { tail = s.Tail() })
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
		r := p.A().replicas[0]
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
		r := p.A().replicas[0]
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
		r.lead(context.Background(), old)
		if !errors.Is(old.err, errReplication) {
			t.Errorf("a record that is lost was acknowledged: %v", old.err)
		}
		r.lead(context.Background(), next)
		if next.err != nil || tailOf(r) != 1 {
			t.Errorf("a record of this term: %v", next.err)
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
	for name, change := range map[string]func(*lockedTimer){
		"set":  func(a *lockedTimer) { a.set(time.Hour) },
		"stop": func(a *lockedTimer) { a.stop() },
	} {
		var mu sync.Mutex
		rung := make(chan struct{}, 1)
		mu.Lock()
		a := newLockedTimer(&mu, func() { rung <- struct{}{} })
		a.set(time.Microsecond)
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
		a.stop()
		mu.Unlock()
	}
}

func TestSuccessor(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*cluster)
		want   int
	}{
		"all is well":              {func(*cluster) {}, -1},
		"the leader is killed":     {func(c *cluster) { c.kill(0) }, 1},
		"the follower is killed":   {func(c *cluster) { c.kill(1) }, -1},
		"both are killed":          {func(c *cluster) { c.kill(0); c.kill(1) }, -1},
		"the leader is paused":     {func(c *cluster) { c.members[0].paused = true }, 1},
		"both are paused":          {func(c *cluster) { c.members[0].paused, c.members[1].paused = true, true }, -1},
		"deposed, the other dead":  {func(c *cluster) { c.kill(1); c.depose() }, 0},
		"deposed":                  {func(c *cluster) { c.depose() }, 1},
		"deposed and cut":          {func(c *cluster) { c.cut = true; c.depose() }, 1},
		"cut":                      {func(c *cluster) { c.cut = true }, -1},
		"promoted, the old killed": {func(c *cluster) { c.promote(1); c.kill(0) }, -1},
	} {
		pair := newCluster("a", "b")
		c.change(&pair)
		if got := pair.successor(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
