package lease

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// interval is the time between heartbeats.
func (p *Process) interval() time.Duration { return p.opts.TTL / 3 }

// due is when the next exchange is to be sent.
func (p *Process) due(now time.Duration) time.Duration {
	if !p.known || p.inquire || p.urgent() {
		if p.failures > 0 {
			return p.next
		}
		return now
	}
	due := p.next
	if p.soon {
		due = min(due, max(now, p.sent.Mono+p.opts.TTL/15))
	}
	for _, peer := range p.peers.all {
		if !peer.alive() || !p.shares(peer) {
			continue
		}
		// A peer that stays silent until then is to be found out at once.
		if end := peer.end(p.storeTime(now), now) + p.opts.TTL/150; end > p.sent.Mono {
			due = min(due, end)
		}
	}
	return due
}

// urgent reports whether a member waits for its first heartbeat or its last one.
func (p *Process) urgent() bool {
	if p.allLeft() {
		return true
	}
	for _, m := range p.members {
		if !m.entered && !m.leaving || m.left() {
			return true
		}
	}
	return false
}

// shares reports whether the peer has members of a subscription of this process.
func (p *Process) shares(other *peer) bool {
	for i := range other.Members {
		for _, m := range p.members {
			if m.Name == other.Members[i].Name {
				return true
			}
		}
	}
	return false
}

// storeTime estimates the store's clock. The estimate is never behind by more
// than clocks drift apart in one interval.
func (p *Process) storeTime(now time.Duration) time.Time { return p.store.Add(now - p.storeAt) }

// exchange sends a heartbeat if one is due.
func (p *Process) exchange(now Instant) {
	if p.opts.Alone {
		p.exchangeAlone(now)
		return
	}
	if p.flying != 0 {
		return
	}
	gone := p.allLeft()
	if gone && !p.told {
		p.dropLeft()
		return
	}
	if now.Mono < p.due(now.Mono) {
		return
	}
	p.flying, p.sent = p.newID(), now
	p.soon, p.inquire = false, false
	p.asked++
	key := memberPrefix + p.opts.ID
	switch {
	case gone:
		p.emit(Command{Kind: Remove, ID: p.flying, Key: key})
	case !p.known:
		// The store's time is needed first, and what others hold.
		p.emit(Command{Kind: Exchange, ID: p.flying})
	default:
		p.emit(Command{Kind: Exchange, ID: p.flying, Key: key, Value: p.heartbeat(now)})
	}
}

// exchangeAlone is exchange where nobody else listens: only signals are read.
func (p *Process) exchangeAlone(now Instant) {
	p.dropLeft()
	if p.flying == 0 && len(p.members) > 0 && now.Mono >= p.next {
		p.flying, p.sent = p.newID(), now
		p.emit(Command{Kind: Exchange, ID: p.flying})
	}
}

// allLeft reports whether no member is left that others should know of.
func (p *Process) allLeft() bool {
	for _, m := range p.members {
		if !m.left() {
			return false
		}
	}
	return true
}

// dropLeft forgets the members that others do not know of any more.
func (p *Process) dropLeft() {
	for _, id := range slices.Clone(p.order) {
		if m := p.members[id]; m.left() {
			p.drop(m)
			p.emit(Command{Kind: Left, Member: m.ID, Name: m.Name})
		}
	}
}

// heartbeat makes the record, and notes which members it tells of.
func (p *Process) heartbeat(now Instant) []byte {
	p.beat++
	h := heartbeat{
		Format:  heartbeatFormat,
		Beat:    p.beat,
		TTL:     p.opts.TTL.Milliseconds(),
		Expires: p.storeTime(now.Mono).Add(p.opts.TTL).UnixMilli(),
		Host:    p.opts.Host,
		Members: make([]memberEntry, 0, len(p.members)),
	}
	for _, id := range p.order {
		m := p.members[id]
		if m.joined == 0 {
			m.joined = p.storeTime(now.Mono).UnixMilli()
		}
		m.sent = !m.left()
		if m.sent {
			h.Members = append(h.Members, memberEntry{Name: m.Name, ID: m.ID, Label: m.Label, Joined: m.joined,
				Generation: m.Definition.Generation, Holds: m.told(), Asks: m.asks, Summary: m.summary})
		}
	}
	return encode(h)
}

// exchanged takes in the answer of an exchange.
func (p *Process) exchanged(now Instant, records []checkpoint.Record, store time.Time, err error) {
	if err != nil {
		p.failed(now)
		return
	}
	if p.opts.Alone {
		p.next = now.Mono + p.interval()
		p.peers.signals = signalsOf(records)
		p.heed()
		return
	}
	first := !p.known
	p.answered = p.asked
	for _, m := range p.members {
		m.wakeAt = min(m.wakeAt, now.Mono+p.interval()/100)
	}
	p.failures = 0
	jumped := !first && store.Sub(p.store) > now.Mono-p.storeAt+p.opts.TTL/30
	p.store, p.storeAt, p.known = store, p.sent.Mono, true
	p.peers.read(records, now.Mono, store, jumped, p.opts.Ended)
	p.heed()
	if first {
		p.next = now.Mono
		return
	}
	p.told, p.valid, p.renewed = true, true, p.sent
	p.next = p.sent.Mono + p.interval()
	for _, id := range slices.Clone(p.order) {
		if m := p.members[id]; m.sent {
			m.entered = true
		} else if m.left() {
			p.drop(m)
			p.emit(Command{Kind: Left, Member: m.ID, Name: m.Name})
		}
	}
	p.sweep(now)
}

// heed notes which subscriptions were signalled.
func (p *Process) heed() {
	for _, m := range p.members {
		signal := p.peers.signals[m.Name]
		heard := m.entered || p.opts.Alone && m.signalled
		changed := heard && signal != m.signal || p.opts.Alone && !m.signalled
		if m.look = m.look || changed; changed {
			p.emit(Command{Kind: Signalled, Member: m.ID, Name: m.Name})
		}
		m.signal, m.signalled = signal, true
	}
}

// failed paces the next attempt: a thirtieth of the TTL, doubling up to the interval.
func (p *Process) failed(now Instant) {
	wait := min(p.opts.TTL/30<<min(p.failures, 4), p.interval())
	p.failures++
	p.next = now.Mono + wait
}

// expire ends all leases once the heartbeats have failed for too long, or this
// process did not run for so long.
func (p *Process) expire(now Instant) {
	d, ok := p.Deadline()
	if !ok || now.Mono < d.Mono && now.Wall.Before(d.Wall) {
		return
	}
	p.valid, p.next = false, now.Mono
	for _, id := range p.order {
		m := p.members[id]
		m.entered, m.asks = false, nil
		if len(m.holds) > 0 {
			p.lose(m, Expired, m.held()...)
		}
	}
}

// sweep removes the record of one process that has been gone for long.
func (p *Process) sweep(now Instant) {
	if now.Mono-p.swept < p.interval() {
		return
	}
	for id, other := range p.peers.all {
		if now.Mono-other.since >= 10*other.ttl() && !other.unread {
			p.swept = now.Mono
			p.emit(Command{Kind: Remove, Key: memberPrefix + id, Revision: other.revision})
			return
		}
	}
}
