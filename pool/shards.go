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
// it. Protocol section 10.
func (p *Pool) Shards(ctx context.Context) (uint64, error) {
	if n := p.shards.Load(); n != 0 {
		return n, nil
	}
	_, err := p.ListOrgsPage(ctx, &msg.ListOrgsRequest{Shard: math.MaxUint64})
	var refusal *msg.ServerError
	if !errors.As(err, &refusal) || refusal.Code != msg.CodeRouting {
		if err == nil {
			err = p.listError(msg.TypeListOrgsRequest, violation("shard %d is listed", uint64(math.MaxUint64)))
		}
		return 0, err
	}
	n := refusal.Fields.NumShards.Or(0)
	if n == 0 || n > mostShards {
		return 0, p.listError(msg.TypeListOrgsRequest, violation("%d shards claimed, want 1 to %d", n, mostShards))
	}
	p.shards.Store(n)
	return n, nil
}
