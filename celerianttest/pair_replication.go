package celerianttest

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
)

// replicationError is errReplication with the detail clients are told.
type replicationError string

func (e replicationError) Error() string        { return string(e) }
func (e replicationError) Is(target error) bool { return target == replica.ErrReplication }

const (
	errFenced  = replicationError("LeaderFenced")
	errTimeout = replicationError("GateTimeout")
)

// share is one node's share in a pair.
type share struct {
	pair *Pair
	who  int
}

// Replicate returns once what the shard's log holds is with the follower, or
// in the object store, and committed.
func (s *share) Replicate(ctx context.Context, index int, term uint64) error {
	var late <-chan time.Time
	for {
		done, changed, err := s.pair.attempt(s.who, index, term)
		if done || err != nil {
			return err
		}
		if late == nil {
			timer := time.NewTimer(replicationTimeout)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-changed:
		case <-late:
			return errTimeout
		case <-ctx.Done():
			return errFenced
		}
	}
}

// attempt tries to commit for a node that believes it leads.
func (p *Pair) attempt(who, index int, term uint64) (done bool, changed <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed && !p.cluster.Members[who].Up {
		return false, p.change(), nil // a dead process says nothing: its run is about to end
	}
	if p.closed || !p.cluster.Accepts(who) || p.cluster.Term != term {
		return false, nil, errFenced
	}
	if p.cluster.Led() && p.advance(index) {
		return true, nil, nil
	}
	return false, p.change(), nil
}

// replica returns a node's copy of a shard.
func (p *Pair) replica(who, index int) *replica.Replica { return p.nodes[who].server.Replicas[index] }

func (p *Pair) committed(who, index int) uint64 {
	r := p.replica(who, index)
	r.Mu.Lock()
	defer r.Mu.Unlock()
	return r.Shard.Committed()
}

// blind tells whether a follower is not told of commits.
func (p *Pair) blind(who int) bool { return p.frozen || p.states[who].behind }

// advance makes the leader's log safe and commits it; false if it cannot. The
// caller holds mu, and there is a leader that works.
func (p *Pair) advance(index int) bool {
	leads, follows := p.cluster.Leader, 1-p.cluster.Leader
	leader := p.replica(leads, index)
	var upTo uint64
	switch {
	case p.cluster.Members[follows].Following:
		upTo = p.deliver(index)
	case p.opts.NoFallback:
		return false
	default:
		leader.Mu.Lock()
		upTo = leader.Shard.Tail()
		leader.Mu.Unlock()
	}
	if p.held {
		return false
	}
	leader.Mu.Lock()
	leader.Announce(upTo)
	p.safe[index] = leader.Shard.Records(0, 0)[:upTo:upTo]
	leader.Mu.Unlock()
	switch {
	case !p.cluster.Members[follows].Following:
	case p.lag == 0:
		p.carry(index)
	default:
		p.carriers[index].Set(p.lag) // the follower is told once the leader has been idle so long
	}
	return true
}

// deliver gives the follower what it lacks of the leader's log and, riding on
// that, how far the leader showed before, and returns how far the follower's
// log reaches now.
func (p *Pair) deliver(index int) uint64 {
	leader, follower := p.replica(p.cluster.Leader, index), p.replica(1-p.cluster.Leader, index)
	follower.Mu.Lock()
	tail := follower.Shard.Tail()
	follower.Mu.Unlock()
	leader.Mu.Lock()
	records, shown := leader.Shard.Records(tail, 0), leader.Shard.Shown()
	leader.Mu.Unlock()

	follower.Mu.Lock()
	defer follower.Mu.Unlock()
	for _, r := range records {
		if err := follower.Shard.Apply(r); err != nil {
			panic(fmt.Sprintf("celerianttest: a follower's log is not its leader's: %v", err))
		}
	}
	if len(records) > 0 && !p.blind(1-p.cluster.Leader) {
		follower.Commit(shown)
	}
	return follower.Shard.Tail()
}

// carry tells the follower how far the leader shows what it has committed.
func (p *Pair) carry(index int) {
	follows := 1 - p.cluster.Leader
	if !p.cluster.Led() || !p.cluster.Members[follows].Following || p.blind(follows) {
		return // settle sees to it when that changes
	}
	leader := p.replica(p.cluster.Leader, index)
	leader.Mu.Lock()
	upTo, more := leader.Shard.Shown(), leader.Shard.Shown() < leader.Shard.Committed()
	leader.Mu.Unlock()
	if more {
		p.carriers[index].Set(max(p.lag, p.opts.ReadLag)) // by then it is shown
	}
	r := p.replica(follows, index)
	r.Mu.Lock()
	r.Commit(upTo)
	r.Mu.Unlock()
	p.broadcast()
}

// recover prepares a node to lead: it gets what was acknowledged without it,
// and commits all it has, acknowledged or not. Its watches hear of it.
func (p *Pair) recover(who int) {
	for index := range p.safe {
		r := p.replica(who, index)
		r.Mu.Lock()
		if safe := p.safe[index]; !r.Shard.Holds(safe) {
			follow(r, safe)
		}
		r.Commit(r.Shard.Tail())
		p.safe[index] = r.Shard.Records(0, 0)
		r.Mu.Unlock()
	}
}

// join makes a node follow the leader: what it alone had is dropped, what it
// missed is applied and shown.
func (p *Pair) join(who int) {
	for index := range p.safe {
		leader := p.replica(p.cluster.Leader, index)
		leader.Mu.Lock()
		log, shown := leader.Shard.Records(0, 0), leader.Shard.Shown()
		leader.Mu.Unlock()
		r := p.replica(who, index)
		r.Mu.Lock()
		if p.states[who].repeats {
			r.Shard.RepeatNewest()
		}
		follow(r, log)
		if !p.blind(who) {
			r.Commit(shown)
		}
		r.Mu.Unlock()
	}
	p.states[who].repeats = false
	p.cluster.Members[who].Following = true
	p.cluster.Members[who].Aware = true
	p.settle()
}

// follow makes a replica's log a given one. The caller holds its mu.
func follow(r *replica.Replica, log []*shard.Record) {
	if err := r.Shard.Follow(log); err != nil {
		panic(fmt.Sprintf("celerianttest: something that was shown is lost: %v", err))
	}
}
