package stream

import (
	"time"

	"github.com/celeriant/celeriant-go/pool"
)

// mostVerdicts bounds the nodes whose last word is remembered.
const mostVerdicts = 64

// verdict is what a node said of itself, and when it was asked.
type verdict struct {
	leads pool.Leadership
	asked time.Time
}

// leader is what was said about who leads. A subscriber takes a page for the
// leader's word if the node leads after it has answered. Of a page that is
// shared, the node may have answered some time before: as a follower that lagged
// and was promoted since. So a page of the node that is thought to lead is shared
// only if that node has said so itself before the page was asked for. Any other
// node's is nobody's last word.
type leader struct {
	node string
	said bool
}

// led notes whom the source takes for the leader.
func (h *hub) led(node string) {
	if h.leader.node != node {
		h.leader = leader{node: node}
		h.pages.reset()
	}
}

// said notes what a node has answered when it was asked whether it leads. A
// connection to one that does not is not joined any more by those who want to
// watch the leader.
func (h *hub) said(asked time.Time, node string, leads pool.Leadership) {
	if len(h.verdicts) >= mostVerdicts {
		clear(h.verdicts)
	}
	h.verdicts[node] = verdict{leads, asked}
	if node == h.leader.node {
		if said := leads == pool.Leading; h.leader.said != said {
			h.pages.reset()
			h.leader.said = said
		}
	}
	for _, u := range h.upstreams {
		if u.node == node && !u.group.key.follower {
			u.deposed = leads == pool.Following || leads == pool.LeadershipUnknown && u.deposed
		}
	}
}

// shares reports whether what a node answers from now on may be shared.
func (h *hub) shares(node string) bool { return node != h.leader.node || h.leader.said }

// LedLately tells what a node said of itself to somebody who asked within the
// given time, if anybody did. It is enough for noticing that a node was deposed,
// so that many subscriptions ask no more often than one; it is not the leader's
// word on anything.
func (s *Shared) LedLately(node string, within time.Duration) (leads pool.Leadership, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.hub.verdicts[node]
	return v.leads, ok && time.Since(v.asked) < within
}
