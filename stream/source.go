package stream

import (
	"context"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Source is what a subscription needs of the store: reads, lists and watches.
// [FromPool] makes one of a pool; tests bring their own. All methods are safe
// for concurrent use.
type Source interface {
	// Shards returns the number of shards of the cluster.
	Shards(ctx context.Context) (uint64, error)
	// ListAggregatesPage returns one page of one shard's aggregates.
	ListAggregatesPage(ctx context.Context, req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, error)
	// Read returns one page of one aggregate. The caller owns the answer.
	Read(ctx context.Context, req *msg.ReadRequest) (*msg.ReadResponse, error)
	// Watch opens a watch and returns after its acknowledgement: whatever is
	// committed later is notified. ctx bounds only the opening.
	Watch(ctx context.Context, req *msg.WatchRequest) (Watch, error)
}

// Watch is one acknowledged watch on one shard.
type Watch interface {
	// Next returns the next frame; an empty one is a heartbeat. The slice is
	// valid until the next call. After an error the watch is closed.
	Next(ctx context.Context) ([]msg.Notification, error)
	// Close ends the watch. It is safe to call at any time, more than once.
	Close() error
	// Node returns the address of the node that is watched.
	Node() string
}

// FromPool returns the pool as a Source. It reads, lists and watches at the
// leader, whatever the pool's routing of reads: what a follower does not show
// yet must not be taken for deleted.
func FromPool(p *pool.Pool) Source { return poolSource{p.AtLeader()} }

type poolSource struct{ *pool.View }

func (s poolSource) Watch(ctx context.Context, req *msg.WatchRequest) (Watch, error) {
	w, err := s.View.Watch(ctx, req)
	if err != nil {
		return nil, err
	}
	return w, nil
}
