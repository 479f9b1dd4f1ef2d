package celerianttest

// settle applies a change of state: it publishes the roles, arms the timers of what
// is due, and releases waiters. The caller holds mu.
func (p *Pair) settle() {
	if p.closed {
		return
	}
	p.publish()
	p.takeover.keep(p.cluster.successor() >= 0, p.opts.Takeover)
	for i := range p.states {
		p.states[i].noticing.keep(p.cluster.mayNotice(i), p.opts.Rejoin/2)
		p.states[i].joining.keep(p.cluster.mayJoin(i), p.opts.Rejoin)
	}
	if p.cluster.led() {
		p.catchUp()
	}
	p.broadcast()
}

// publish makes the nodes answer as what they are now.
func (p *Pair) publish() {
	for i, n := range p.nodes {
		r := p.cluster.role(i)
		n.role.Store(&r)
	}
}

// catchUp commits what waits at the leader, such as a change that nobody waits
// for any more, and sees that the follower hears of it.
func (p *Pair) catchUp() {
	leads, follows := p.cluster.leader, 1-p.cluster.leader
	for index := range p.carriers {
		r := p.replica(leads, index)
		r.mu.Lock()
		waiting := r.shard.Tail() > r.shard.Committed()
		r.mu.Unlock()
		if waiting {
			p.advance(index)
		}
		if p.cluster.members[follows].following && p.committed(follows, index) < p.committed(leads, index) {
			p.carriers[index].keep(true, p.lag)
		}
	}
}

// takeOver promotes whoever can lead, after the leader was gone long enough.
func (p *Pair) takeOver() {
	if next := p.cluster.successor(); next >= 0 {
		p.promote(next)
	}
}

// promote makes a node the leader. The old one must refuse before the new one
// begins to accept, and that one must have everything before it does.
func (p *Pair) promote(who int) {
	p.cluster.depose()
	p.publish()
	p.recover(who)
	p.cluster.promote(who)
	p.states[who].behind = false
	p.settle()
}

// notice lets a node learn who leads.
func (p *Pair) notice(who int) {
	p.cluster.members[who].aware = true
	p.settle()
}

// thaw ends a restarted follower's being behind.
func (p *Pair) thaw(who int) {
	p.states[who].behind = false
	p.settle()
}
