package pool

import (
	"context"
	"errors"
	"math"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// maxShards bounds what a node may claim.
const maxShards = 1 << 16

// Shards returns the number of shards of the cluster. Shards asks a node once,
// by listing a shard that cannot exist, which the node refuses with the count
// and without doing any work, and remembers the answer until a node contradicts
// it. A pool that knows the number prefers, for each request, a connection whose
// last request was for the same shard, and opens up to one for each shard, below
// MaxConnections: a node takes time to move a connection. Protocol section 10.
func (o *operations) Shards(ctx context.Context) (uint64, error) {
	if n := o.via.shardCount().Load(); n != 0 {
		return n, nil
	}
	_, err := o.via.do(ctx, call{req: newShardProbe()})
	n, told := shardsTold(err)
	switch {
	case !told && err != nil:
		return 0, err
	case !told:
		return 0, o.listError(msg.TypeListOrgsRequest, conn.Violation("shard %d is listed", uint64(math.MaxUint64)))
	case n == 0 || n > maxShards:
		return 0, o.listError(msg.TypeListOrgsRequest, conn.Violation("%d shards claimed, want 1 to %d", n, maxShards))
	}
	o.via.shardCount().Store(n)
	return n, nil
}

// newShardProbe is the list of a shard that cannot exist.
func newShardProbe() *msg.ListOrgsRequest { return &msg.ListOrgsRequest{Shard: math.MaxUint64} }

// shardsTold reads the count out of the refusal of newShardProbe.
func shardsTold(err error) (n uint64, told bool) {
	var refusal *msg.ServerError
	if !errors.As(err, &refusal) || refusal.Code != msg.CodeRouting {
		return 0, false
	}
	return refusal.Fields.NumShards.Or(0), true
}

// shardOf guesses the shard of a request, by the rule that is the default. The guess
// is a preference for connections, no more: nodes do not tell their routing rule,
// and the number of shards is known only once it was asked for. Protocol section 10.
func (p *Pool) shardOf(req msg.Request) node.Shard {
	shards := p.shards.Load()
	if shards < 2 {
		return 0
	}
	var key *msg.Key
	switch r := req.(type) {
	case *msg.ReadRequest:
		key = &r.Key
	case *conn.PageRequest:
		key = &r.Key
	case *msg.DetailsRequest:
		key = &r.Key
	case *msg.TrimStartRequest:
		key = &r.Key
	case *msg.WriteRequest:
		if len(r.Writes) > 0 {
			key = &r.Writes[0].Key
		}
	case *msg.DeleteRequest:
		if len(r.Deletes) > 0 {
			key = &r.Deletes[0].Key
		}
	case *msg.ListOrgsRequest:
		return listedShard(r.Shard, shards)
	case *msg.ListTypesRequest:
		return listedShard(r.Shard, shards)
	case *msg.ListAggregatesRequest:
		return listedShard(r.Shard, shards)
	}
	if key == nil {
		return 0
	}
	return shardOfKey(*key, shards)
}

// shardOfKey is the guess for an aggregate.
func shardOfKey(key msg.Key, shards uint64) node.Shard {
	if shards < 2 {
		return 0
	}
	return node.Shard(key.Aggregate.Mod(shards) + 1)
}

// listedShard is the shard of a list, which names it.
func listedShard(shard, shards uint64) node.Shard {
	if shard >= shards {
		return 0 // refused wherever it is
	}
	return node.Shard(shard + 1)
}
