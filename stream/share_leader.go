package stream

import (
	"time"

	"github.com/celeriant/celeriant-go/pool"
)

// maxLeadAnswers bounds the nodes whose last answer is remembered.
const maxLeadAnswers = 64

// leadAnswer is a node's answer whether it leads, and when it was asked.
type leadAnswer struct {
	leads pool.Leadership
	asked time.Time
}

// leader is the presumed leader, and whether it has confirmed that it leads. A
// subscriber takes a page for the leader's word if the node leads after it has
// answered. The node may have answered a shared page some time before: as a follower
// that lagged and was promoted since. So a page of the presumed leader is shared
// only if that node confirmed before the page was asked for. Pages of other nodes are
// not taken for the leader's word, and are always shared.
type leader struct {
	node      string
	confirmed bool
}

// noteLeader notes which node the source takes for the leader.
func (h *hub) noteLeader(node string) {
	if h.leader.node != node {
		h.leader = leader{node: node}
		h.pages.invalidateAll()
	}
}

// noteAnswer notes a node's answer whether it leads. Subscribers that want to watch the
// leader no longer join a connection to a node that does not.
func (h *hub) noteAnswer(asked time.Time, node string, leads pool.Leadership) {
	if len(h.leadAnswers) >= maxLeadAnswers {
		clear(h.leadAnswers)
	}
	h.leadAnswers[node] = leadAnswer{leads, asked}
	if node == h.leader.node {
		if said := leads == pool.Leading; h.leader.confirmed != said {
			h.pages.invalidateAll()
			h.leader.confirmed = said
		}
	}
	for _, u := range h.upstreams {
		if u.node == node && !u.group.key.follower {
			u.deposed = leads == pool.Following || leads == pool.LeadershipUnknown && u.deposed
		}
	}
}

// mayShare reports whether pages that a node answers from now on may be shared.
func (h *hub) mayShare(node string) bool { return node != h.leader.node || h.leader.confirmed }

// LedLately returns a node's answer to a subscriber that asked whether it leads within
// the given time; known is false if none did. The answer is good enough for noticing
// that a node was deposed, so that many subscriptions ask no more often than one. It
// does not make a page the leader's word.
func (s *Shared) LedLately(node string, within time.Duration) (leads pool.Leadership, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.hub.leadAnswers[node]
	return v.leads, ok && time.Since(v.asked) < within
}
