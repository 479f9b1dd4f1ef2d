package celerianttest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errReplication: a change is in the leader's log, and whether it will stay
// nobody knows.
var errReplication = errors.New("replication failed")

// replicationError is errReplication with the detail clients are told.
type replicationError string

func (e replicationError) Error() string        { return string(e) }
func (e replicationError) Is(target error) bool { return target == errReplication }

const (
	errFenced  = replicationError("LeaderFenced")
	errTimeout = replicationError("GateTimeout")
)

// share is one node's share in a pair.
type share struct {
	pair *Pair
	who  int
}

// replicate returns once what the shard's log holds is with the follower, or
// in the object store, and committed.
func (s *share) replicate(ctx context.Context, index int, term uint64) error {
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
	if !p.closed && !p.cluster.members[who].up {
		return false, p.change(), nil // a dead process says nothing: its run is about to end
	}
	if p.closed || !p.cluster.accepts(who) || p.cluster.term != term {
		return false, nil, errFenced
	}
	if p.cluster.led() && p.advance(index) {
		return true, nil, nil
	}
	return false, p.change(), nil
}

// replica returns a node's copy of a shard.
func (p *Pair) replica(who, index int) *replica { return p.nodes[who].replicas[index] }

func (p *Pair) committed(who, index int) uint64 {
	r := p.replica(who, index)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shard.Committed()
}

// blind tells whether a follower is not told of commits.
func (p *Pair) blind(who int) bool { return p.frozen || p.states[who].behind }

// advance makes the leader's log safe and commits it; false if it cannot. The
// caller holds mu, and there is a leader that works.
func (p *Pair) advance(index int) bool {
	leads, follows := p.cluster.leader, 1-p.cluster.leader
	leader := p.replica(leads, index)
	var upTo uint64
	switch {
	case p.cluster.members[follows].following:
		upTo = p.deliver(index)
	case p.opts.NoFallback:
		return false
	default:
		leader.mu.Lock()
		upTo = leader.shard.Tail()
		leader.mu.Unlock()
	}
	if p.held {
		return false
	}
	leader.mu.Lock()
	leader.announce(upTo)
	p.safe[index] = leader.shard.Records(0, 0)[:upTo:upTo]
	leader.mu.Unlock()
	switch {
	case !p.cluster.members[follows].following:
	case p.lag == 0:
		p.carry(index)
	default:
		p.carriers[index].set(p.lag) // the follower is told once the leader has been idle so long
	}
	return true
}

// deliver gives the follower what it lacks of the leader's log and, riding on
// that, how far the leader showed before. It returns how far the
// follower's log reaches now.
func (p *Pair) deliver(index int) uint64 {
	leader, follower := p.replica(p.cluster.leader, index), p.replica(1-p.cluster.leader, index)
	follower.mu.Lock()
	tail := follower.shard.Tail()
	follower.mu.Unlock()
	leader.mu.Lock()
	records, shown := leader.shard.Records(tail, 0), leader.shard.Shown()
	leader.mu.Unlock()

	follower.mu.Lock()
	defer follower.mu.Unlock()
	for _, r := range records {
		if err := follower.shard.Apply(r); err != nil {
			panic(fmt.Sprintf("celerianttest: a follower's log is not its leader's: %v", err))
		}
	}
	if len(records) > 0 && !p.blind(1-p.cluster.leader) {
		follower.commit(shown)
	}
	return follower.shard.Tail()
}

// carry tells the follower how far the leader shows what it has committed.
func (p *Pair) carry(index int) {
	follows := 1 - p.cluster.leader
	if !p.cluster.led() || !p.cluster.members[follows].following || p.blind(follows) {
		return // settle sees to it when that changes
	}
	leader := p.replica(p.cluster.leader, index)
	leader.mu.Lock()
	upTo, more := leader.shard.Shown(), leader.shard.Shown() < leader.shard.Committed()
	leader.mu.Unlock()
	if more {
		p.carriers[index].set(max(p.lag, p.opts.ReadLag)) // by then it is shown
	}
	r := p.replica(follows, index)
	r.mu.Lock()
	r.commit(upTo)
	r.mu.Unlock()
	p.broadcast()
}

// recover prepares a node to lead: it gets what was acknowledged without it,
// and commits all it has, acknowledged or not. Its watches hear of it.
func (p *Pair) recover(who int) {
	for index := range p.safe {
		r := p.replica(who, index)
		r.mu.Lock()
		if safe := p.safe[index]; !r.shard.Holds(safe) {
			follow(r, safe)
		}
		r.commit(r.shard.Tail())
		p.safe[index] = r.shard.Records(0, 0)
		r.mu.Unlock()
	}
}

// join makes a node follow the leader: what it alone had is dropped, what it
// missed is applied and shown.
func (p *Pair) join(who int) {
	for index := range p.safe {
		leader := p.replica(p.cluster.leader, index)
		leader.mu.Lock()
		log, shown := leader.shard.Records(0, 0), leader.shard.Shown()
		leader.mu.Unlock()
		r := p.replica(who, index)
		r.mu.Lock()
		if p.states[who].repeats {
			r.shard.RepeatNewest()
		}
		follow(r, log)
		if !p.blind(who) {
			r.commit(shown)
		}
		r.mu.Unlock()
	}
	p.states[who].repeats = false
	p.cluster.members[who].following = true
	p.cluster.members[who].aware = true
	p.settle()
}

// follow makes a replica's log a given one. The caller holds its mu.
func follow(r *replica, log []*record) {
	if err := r.shard.Follow(log); err != nil {
		panic(fmt.Sprintf("celerianttest: something that was shown is lost: %v", err))
	}
}
