package celerianttest

// settle applies a change of state: it publishes the roles, arms the timers of what
// is due, and releases waiters. The caller holds mu.
func (p *Pair) settle() {
	if p.closed {
		return
	}
	p.publish()
	p.takeover.Keep(p.cluster.Successor() >= 0, p.opts.Takeover)
	for i := range p.states {
		p.states[i].noticing.Keep(p.cluster.MayNotice(i), p.opts.Rejoin/2)
		p.states[i].joining.Keep(p.cluster.MayJoin(i), p.opts.Rejoin)
	}
	if p.cluster.Led() {
		p.catchUp()
	}
	p.broadcast()
}

// publish makes the nodes answer as what they are now.
func (p *Pair) publish() {
	for i, n := range p.nodes {
		r := p.cluster.Role(i)
		n.server.Role.Store(&r)
	}
}

// catchUp commits what waits at the leader, such as a change that nobody waits
// for any more, and sees that the follower hears of it.
func (p *Pair) catchUp() {
	leads, follows := p.cluster.Leader, 1-p.cluster.Leader
	for index := range p.carriers {
		r := p.replica(leads, index)
		r.Mu.Lock()
		waiting := r.Shard.Tail() > r.Shard.Committed()
		r.Mu.Unlock()
		if waiting {
			p.advance(index)
		}
		if p.cluster.Members[follows].Following && p.committed(follows, index) < p.committed(leads, index) {
			p.carriers[index].Keep(true, p.lag)
		}
	}
}

// takeOver promotes whoever can lead, after the leader was gone long enough.
func (p *Pair) takeOver() {
	if next := p.cluster.Successor(); next >= 0 {
		p.promote(next)
	}
}

// promote makes a node the leader. The old one must refuse before the new one
// begins to accept, and that one must have everything before it does.
func (p *Pair) promote(who int) {
	p.cluster.Depose()
	p.publish()
	p.recover(who)
	p.cluster.Promote(who)
	p.states[who].behind = false
	p.settle()
}

// notice lets a node learn who leads.
func (p *Pair) notice(who int) {
	p.cluster.Members[who].Aware = true
	p.settle()
}

// thaw ends a restarted follower's being behind.
func (p *Pair) thaw(who int) {
	p.states[who].behind = false
	p.settle()
}
