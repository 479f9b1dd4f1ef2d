package cluster

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// searchStagger is how long a node has to answer before the next one is asked beside it.
const searchStagger = 100 * time.Millisecond

// finding is the outcome of a search for the leader.
type finding struct {
	leader   *member // nil: none found
	hidden   bool    // some node answered, and told neither way
	err      error   // the credentials are refused
	attempts []conn.Attempt
	at       time.Time
}

// fresh reports whether a finding serves who began to look at the time given.
// The finding that no node leads serves a little longer: many callers, each with short
// pauses, ask no more often than one would.
func (f *finding) fresh(began time.Time) bool {
	if f.leader == nil && !f.hidden && f.err == nil {
		began = began.Add(-shortestPause / 2)
	}
	return f.at.After(began)
}

// search is one walk over the members in the background, shared by all who look for
// the leader.
type search struct {
	done    chan struct{}
	finding finding // set before done is closed
}

// findLeader looks for the leader. The search goes on in the background when ctx ends.
func (c *Cluster) findLeader(ctx context.Context) (finding, error) {
	s, found := c.searchSince(time.Now())
	if s == nil {
		return found, found.err
	}
	select {
	case <-s.done:
		return s.finding, s.finding.err
	case <-ctx.Done():
		return finding{}, conn.Ended(ctx)
	case <-c.ctx.Done():
		return finding{}, conn.ErrClosed
	}
}

// searchSince returns what is known already, or the search that is under way or begins.
func (c *Cluster) searchSince(began time.Time) (*search, finding) {
	if m := c.leaderTrusted(); m != nil {
		return nil, finding{leader: m}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing:
		return nil, finding{err: conn.ErrClosed}
	case c.search != nil:
		return c.search, finding{}
	case c.found.fresh(began) && c.found.leader == nil: // a leader that is found is trusted, or was doubted since
		return nil, c.found
	}
	s := &search{done: make(chan struct{})}
	c.search = s
	go c.runSearch(s)
	return s, finding{}
}

func (c *Cluster) runSearch(s *search) {
	defer func() {
		s.finding.at = time.Now()
		c.mu.Lock()
		c.search, c.found = nil, s.finding
		c.mu.Unlock()
		close(s.done)
	}()
	s.finding = c.askAll()
	if s.finding.hidden {
		c.hidden.Store(time.Now().UnixNano())
	}
}

// askAll asks member after member who leads, following their hints. One that does not
// answer at once is not waited for: the next one is asked beside it, and when all were
// asked and some have answered, the others are left to answer later.
func (c *Cluster) askAll() (found finding) {
	type answer struct {
		member *member
		probe  *probe
	}
	answers := make(chan answer, maxLearnt+maxHops+len(c.nodes()))
	w := c.newWalk(c.leaderKnown())
	stagger := time.NewTimer(0)
	defer stagger.Stop()
	waiting, answered, exhausted := 0, 0, false
	for {
		select {
		case <-stagger.C:
			m := w.next()
			if m == nil {
				if exhausted = true; waiting == 0 || answered > 0 {
					return found
				}
				continue
			}
			waiting++
			p := c.probeInBackground(m)
			go func() { <-p.done; answers <- answer{m, p} }()
			stagger.Reset(searchStagger)
		case a := <-answers:
			waiting--
			switch a.probe.result {
			case probeLeads:
				if leader := c.leaderTrusted(); leader != nil { // the probe has confirmed it, or a newer one
					return finding{leader: leader}
				}
			case probeRefused:
				found.err = a.probe.attempt.Err
				found.attempts = append(found.attempts, a.probe.attempt)
				return found
			case probeHidden:
				found.hidden = true
			}
			if a.probe.attempt.Answered {
				answered++
			}
			found.attempts = append(found.attempts, a.probe.attempt)
			w.follow(a.member, a.probe.attempt)
			if exhausted && (waiting == 0 || answered > 0) {
				exhausted = false // a hint may have added one
			}
			stagger.Reset(0)
		case <-c.ctx.Done():
			return finding{err: conn.ErrClosed}
		}
	}
}

// learnLeader looks for the leader, if nothing is known of one, so that reads
// at followers can leave it out; not again and again while there is none.
func (c *Cluster) learnLeader(ctx context.Context) {
	if c.leaderKnown() != nil {
		return
	}
	now := time.Now().UnixNano()
	last := c.learnt.Load()
	if last != 0 && time.Duration(now-last) < leaderTrust || !c.learnt.CompareAndSwap(last, now) {
		return
	}
	short, cancel := context.WithTimeout(ctx, searchStagger)
	defer cancel()
	_, _ = c.findLeader(short)
}
