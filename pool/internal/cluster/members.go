package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

const (
	// maxLearnt bounds the members known by what others have told; the configured
	// ones are kept for ever beside them.
	maxLearnt = 16
	// maxGuests bounds the nodes that are asked without being members.
	maxGuests = 16
)

// member is a node, with what requests to it have shown.
type member struct {
	*node.Node
	configured bool
	silent     atomic.Bool // a request was left unanswered; until the next answer

	mu    sync.Mutex
	probe *probe // under way in the background
}

func (c *Cluster) newMember(address string, configured bool) *member {
	return &member{Node: c.config.NewNode(address, !configured), configured: configured}
}

// nodes returns the members, the configured ones first, in their order. The slice is
// never changed in place.
func (c *Cluster) nodes() []*member { return *c.members.Load() }

// singleNode reports whether only one node is known, so that there is nothing to choose.
func (c *Cluster) singleNode() bool { return len(c.nodes()) == 1 }

// Addresses returns the addresses of the members, the configured ones first.
func (c *Cluster) Addresses() []string {
	var all []string
	for _, m := range c.nodes() {
		all = append(all, m.Address())
	}
	return all
}

func find(members []*member, address string) *member {
	if i := slices.IndexFunc(members, func(m *member) bool { return m.Address() == address }); i >= 0 {
		return members[i]
	}
	return nil
}

// at returns the member at an address, or else a guest.
func (c *Cluster) at(address string) (*member, error) {
	if m := find(c.nodes(), address); m != nil {
		return m, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := find(c.guests, address); m != nil {
		return m, nil
	}
	if c.closing {
		return nil, conn.ErrClosed
	}
	if len(c.guests) >= maxGuests {
		i := slices.IndexFunc(c.guests, func(m *member) bool { return m.Retire() })
		if i < 0 {
			return nil, fmt.Errorf("%w: %d nodes are in use besides those of the cluster", conn.ErrConnect, maxGuests)
		}
		c.guests = slices.Delete(c.guests, i, i+1)
	}
	m := c.newMember(address, false)
	c.guests = append(c.guests, m)
	return m, nil
}

// learn makes the node at an address a member; nil when the cluster is closed or there
// is no room.
func (c *Cluster) learn(address string) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	members := c.nodes()
	if m := find(members, address); m != nil {
		return m
	}
	if c.closing {
		return nil
	}
	fresh := slices.Clone(members)
	if len(members)-len(c.config.Addresses) >= maxLearnt {
		i := c.forgettable(members)
		if i < 0 {
			return nil
		}
		fresh = slices.Delete(fresh, i, i+1)
	}
	m := find(c.guests, address)
	if m != nil {
		c.guests = slices.DeleteFunc(c.guests, func(g *member) bool { return g == m })
	} else {
		m = c.newMember(address, false)
	}
	fresh = append(fresh, m)
	c.members.Store(&fresh)
	return m
}

// forgettable retires the learnt member known longest that nobody uses and returns its
// place, or -1.
func (c *Cluster) forgettable(members []*member) int {
	leader := c.leaderKnown()
	for i, m := range members {
		if !m.configured && m != leader && m.Retire() {
			return i
		}
	}
	return -1
}

// hinted returns the member that a not-leader answer of teller names, nil when it names
// none that may be followed.
func (c *Cluster) hinted(teller *member, err error) *member {
	var refusal *msg.ServerError
	if !errors.As(err, &refusal) || !errors.Is(refusal, msg.ErrNotLeader) {
		return nil
	}
	named, ok := refusal.Fields.LeaderAddress.Get()
	if !ok {
		return nil
	}
	address, ok := c.config.Follow(teller.Address(), named)
	if !ok {
		return nil
	}
	return c.learn(address)
}

// Member reports whether the node at an address is a member.
func (c *Cluster) Member(address string) bool { return find(c.nodes(), address) != nil }
