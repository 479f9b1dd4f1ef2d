package lease

import (
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Instant is a moment as one process sees it: by the clock that only goes forward
// and by the one on the wall, which may be set.
type Instant struct {
	Mono time.Duration
	Wall time.Time
}

// At returns the Instant of a time that was read with time.Now, where start is an
// earlier such time.
func At(start, now time.Time) Instant { return Instant{Mono: now.Sub(start), Wall: now.Round(0)} }

// peer is another process, as its heartbeats show it.
type peer struct {
	heartbeat
	revision uint64
	// since is when this heartbeat was first seen here.
	since time.Duration
	// ended: facts prove that the process is gone.
	ended bool
	// expired: its heartbeat ran out by the rules of watching.
	expired bool
	unread  bool // its record is of another release
	// dated: the store's clock jumped since the expiry of this heartbeat was set.
	dated bool
}

func (p *peer) ttl() time.Duration { return time.Duration(p.TTL) * time.Millisecond }

// watched is how long a heartbeat must have been seen unchanged before the store's
// clock may end it: a third of the TTL, which is the interval of heartbeats, and half
// of that more, since a heartbeat may be late.
func (p *peer) watched() time.Duration { return p.ttl() / 2 }

// judge applies the rule of time: a process may be taken for gone if its heartbeat
// ran out by the store's clock and did not change while this process watched, or did not
// change for a full TTL by this process's own clock. Clocks decide only when to try;
// the claim decides who is right.
func (p *peer) judge(now time.Duration, store time.Time) {
	age := now - p.since
	p.expired = age >= p.ttl() || !p.dated && age >= p.watched() && store.UnixMilli() >= p.Expires
}

// end is when the peer can expire at the earliest, if it stays silent; clock maps the
// store's time to this process's.
func (p *peer) end(store time.Time, now time.Duration) time.Duration {
	if p.dated {
		return p.since + p.ttl()
	}
	left := time.Duration(p.Expires-store.UnixMilli()) * time.Millisecond
	return min(p.since+p.ttl(), max(now+left, p.since+p.watched()))
}

// alive reports whether claims of the process count.
func (p *peer) alive() bool { return !p.ended && !p.expired }

// peers are the other processes of a store.
type peers struct {
	self string
	all  map[string]*peer
	// signals are the values of the signal records, by subscription.
	signals map[string]uint64
}

// read takes in what an exchange showed. jumped tells that the store's clock went ahead by
// more than time has passed since the exchange before.
func (ps *peers) read(records []checkpoint.Record, now time.Duration, store time.Time, jumped bool, ended func(Host) bool) {
	seen := make(map[string]bool, len(records))
	for _, r := range records {
		if len(r.Key) <= len(memberPrefix) || r.Key[:len(memberPrefix)] != memberPrefix {
			continue
		}
		process, h, err := parseHeartbeat(r)
		if process == ps.self {
			continue
		}
		seen[process] = true
		p := ps.all[process]
		if p == nil {
			p = &peer{}
			ps.all[process] = p
		}
		if p.revision != r.Revision {
			p.revision, p.since = r.Revision, now
			if err == nil {
				p.heartbeat = h
				// The peer's process may not know of the jump yet.
				p.dated = p.dated && h.Expires <= store.UnixMilli()
			}
			p.unread = err != nil
			if p.unread && p.TTL == 0 {
				p.TTL = time.Hour.Milliseconds() // only its silence tells
			}
		}
		p.dated = p.dated || jumped
		p.ended = p.ended || ended != nil && p.Host != Host{} && ended(p.Host)
		p.judge(now, store)
	}
	for process := range ps.all {
		if !seen[process] {
			delete(ps.all, process)
		}
	}
	ps.signals = signalsOf(records)
}

// signalsOf are the revisions of the signals among the store's records.
func signalsOf(records []checkpoint.Record) map[string]uint64 {
	signals := make(map[string]uint64)
	for _, r := range records {
		if name, ok := strings.CutPrefix(r.Key, checkpoint.SignalPrefix); ok {
			signals[name] = r.Revision
		}
	}
	return signals
}
