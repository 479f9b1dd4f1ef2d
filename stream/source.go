package stream

import (
	"context"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Source is what a subscription needs of the store: reads, lists and watches,
// each at a node named by its address, "host:port", and word on who leads.
// [FromPool] makes one of a pool; tests bring their own. All methods are safe
// for concurrent use.
type Source interface {
	// Shards returns the number of shards of the cluster.
	Shards(ctx context.Context) (uint64, error)
	// Leader returns the node that is thought to lead. Leader may wait through
	// an election, within a bound.
	Leader(ctx context.Context) (node string, err error)
	// Leads asks a node whether it leads, or stands alone, at this moment. Leads
	// answers from no memory: what the node said before is the leader's word
	// only if it still leads now. [pool.LeadershipUnknown], the answer where the
	// credentials hide who leads, is to be taken neither for yes nor for no.
	Leads(ctx context.Context, node string) (pool.Leadership, error)
	// ListAggregatesPage returns one page of one shard's aggregates. A cursor is
	// of use only at the node that gave it.
	ListAggregatesPage(ctx context.Context, node string, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error)
	// Read returns one page of one aggregate. Its answer may be shared with other
	// callers and is not to be changed.
	Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error)
	// Watch opens a watch at the leader, or at a follower if there is one that
	// can, and returns after its acknowledgement: whatever that node comes to
	// show later is notified. ctx bounds only the opening.
	Watch(ctx context.Context, follower bool, req *msg.WatchRequest) (Watch, error)
}

// Watch is one acknowledged watch on one shard.
type Watch interface {
	// Next returns the next frame; an empty one is a heartbeat. The slice is
	// valid until the next call. After an error the watch is closed.
	Next(ctx context.Context) ([]msg.Notification, error)
	// Close ends the watch. Close is safe to call at any time, more than once.
	Close() error
	// Node returns the address of the node that is watched.
	Node() string
}

// FromPool returns the pool as a Source, whatever the pool's own routing of
// reads.
func FromPool(p *pool.Pool) Source { return poolSource{p} }

type poolSource struct{ pool *pool.Pool }

func (s poolSource) Shards(ctx context.Context) (uint64, error) { return s.pool.AtLeader().Shards(ctx) }

func (s poolSource) Leader(ctx context.Context) (string, error) { return s.pool.Leader(ctx) }

func (s poolSource) Leads(ctx context.Context, node string) (pool.Leadership, error) {
	return s.pool.Leads(ctx, node)
}

func (s poolSource) ListAggregatesPage(ctx context.Context, node string, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error) {
	v, err := s.pool.At(node)
	if err != nil {
		return nil, err
	}
	return v.ListAggregatesPage(ctx, req)
}

func (s poolSource) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	v, err := s.pool.At(node)
	if err != nil {
		return nil, err
	}
	return v.Read(ctx, req)
}

// Nodes returns the members of the pool's cluster.
func (s poolSource) Nodes() []string { return s.pool.Nodes() }

func (s poolSource) Details(ctx context.Context, node string, key msg.Key) (*msg.DetailsResponse, error) {
	v, err := s.pool.At(node)
	if err != nil {
		return nil, err
	}
	return v.Details(ctx, key)
}

func (s poolSource) Watch(ctx context.Context, follower bool, req *msg.WatchRequest) (Watch, error) {
	open := s.pool.AtLeader().Watch
	if follower {
		open = s.pool.WatchFollower
	}
	w, err := open(ctx, req)
	if err != nil {
		return nil, err
	}
	return w, nil
}
