package pool

import (
	"context"
	"errors"
	"math"

	"github.com/celeriant/celeriant-go/msg"
)

// mostShards bounds what a node may claim.
const mostShards = 1 << 16

// Shards returns the number of shards of the cluster. It asks a node once, by
// listing a shard that cannot exist, which the node refuses with the count and
// without doing any work, and remembers the answer until a node contradicts
// it. A pool that knows the number prefers, for each request, a connection whose
// last request was for the same shard, and opens up to one for each shard, below
// MaxConnections: a node takes time to move a connection. Protocol section 10.
func (o *operations) Shards(ctx context.Context) (uint64, error) {
	if n := o.via.shardCount().Load(); n != 0 {
		return n, nil
	}
	resp, err := o.via.perform(ctx, msg.None[msg.Key](), newShardProbe())
	n, told := shardsTold(resp, err)
	switch {
	case !told && err != nil:
		return 0, err
	case !told:
		return 0, o.listError(msg.TypeListOrgsRequest, violation("shard %d is listed", uint64(math.MaxUint64)))
	case n == 0 || n > mostShards:
		return 0, o.listError(msg.TypeListOrgsRequest, violation("%d shards claimed, want 1 to %d", n, mostShards))
	}
	o.via.shardCount().Store(n)
	return n, nil
}

// newShardProbe is the list of a shard that cannot exist.
func newShardProbe() *msg.ListOrgsRequest { return &msg.ListOrgsRequest{Shard: math.MaxUint64} }

// shardsTold reads the count out of the refusal of newShardProbe.
func shardsTold(_ msg.Response, err error) (n uint64, told bool) {
	var refusal *msg.ServerError
	if !errors.As(err, &refusal) || refusal.Code != msg.CodeRouting {
		return 0, false
	}
	return refusal.Fields.NumShards.Or(0), true
}
