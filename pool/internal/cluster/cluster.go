package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// Config tells who the nodes are and how far a pool goes for an answer. All fields but
// Events are required.
type Config struct {
	// Addresses are the configured nodes, each once.
	Addresses []string
	// NewNode makes the node at an address; learnt tells that it is not configured.
	NewNode func(address string, learnt bool) *node.Node
	// Follow turns the address that a node has named as the leader's into the one to
	// dial; false where it is not to be followed.
	Follow func(teller, named string) (address string, ok bool)
	// Followers lets reads go to followers.
	Followers      bool
	FailoverBudget time.Duration
	// RequestTimeout bounds a probe.
	RequestTimeout time.Duration
	// ProbeAs is the client id that probes carry.
	ProbeAs func() (id msg.ID, proven bool)
	// Shard guesses the shard of a request.
	Shard  func(msg.Request) node.Shard
	Events Events
}

// Events are called when something happens. Any may be nil.
type Events struct {
	// Attempt: a request was made, probes included.
	Attempt func(conn.Attempt)
	// Retry: after a failed attempt an operation is about to go on, after a pause.
	Retry func(operation msg.RequestType, last conn.Attempt, pause time.Duration)
	// Leader: another node than before has proved to lead. from is empty at first.
	Leader func(from, to string)
}

// Cluster is the nodes of one pool. A Cluster is safe for concurrent use.
type Cluster struct {
	config Config
	ctx    context.Context // of searches and probes; ends when Close begins
	cancel context.CancelFunc

	mu      sync.Mutex // guards changes of members, guests, closing, search and found
	members atomic.Pointer[[]*member]
	guests  []*member
	closing bool
	search  *search
	found   finding

	leader    atomic.Pointer[leadership]
	uncertain atomic.Bool  // a mutation was left unanswered since a leader was confirmed
	hidden    atomic.Int64 // when no node told who leads, in Unix nanoseconds
	turn      atomic.Uint64
	learnt    atomic.Int64 // when learnLeader last searched, in Unix nanoseconds
}

// New returns a cluster, which asks nobody before it is used.
func New(config Config) *Cluster {
	c := &Cluster{config: config}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	members := make([]*member, len(config.Addresses))
	for i, address := range config.Addresses {
		members[i] = c.newMember(address, true)
	}
	c.members.Store(&members)
	return c
}

// Closing is closed when Close begins.
func (c *Cluster) Closing() <-chan struct{} { return c.ctx.Done() }

// Close refuses new work and waits for what is in flight, but not for user code. When
// ctx ends first it cuts what is left, and says how much that was.
func (c *Cluster) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	all := append(append([]*member(nil), *c.members.Load()...), c.guests...)
	c.mu.Unlock()
	c.cancel()
	for _, m := range all {
		m.Close()
	}
	cut := 0
	for _, m := range all {
		select {
		case <-m.Drained():
			continue
		default:
		}
		select {
		case <-m.Drained():
		case <-ctx.Done():
			cut += m.Abort()
		}
	}
	if cut > 0 {
		return fmt.Errorf("pool: close: %d requests cut: %w", cut, conn.Ended(ctx))
	}
	return nil
}

// Stats are those of the members, the configured ones first, and of guests.
func (c *Cluster) Stats() []MemberStats {
	c.mu.Lock()
	guests := append([]*member(nil), c.guests...)
	c.mu.Unlock()
	all := make([]MemberStats, 0, len(c.nodes())+len(guests))
	for _, m := range c.nodes() {
		all = append(all, MemberStats{Stats: m.Stats(), Configured: m.configured, Leadership: c.leadershipOf(m), Silent: m.silent.Load()})
	}
	for _, m := range guests {
		all = append(all, MemberStats{Stats: m.Stats(), Guest: true, Silent: m.silent.Load()})
	}
	return all
}

// MemberStats is a snapshot of one node.
type MemberStats struct {
	node.Stats
	Configured bool
	Guest      bool
	Leadership Leadership
	Silent     bool
}
