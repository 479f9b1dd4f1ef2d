package pool

import (
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

func aggregate(n uint64) msg.Key { return msg.Key{Aggregate: msg.IDFromUint64(n)} }

// The shard of a request is a guess by the default rule, once their number is known.
func TestShardOfRequests(t *testing.T) {
	for _, c := range []struct {
		shards uint64
		req    msg.Request
		want   node.Shard
	}{
		{0, &msg.ReadRequest{Key: aggregate(5)}, 0},
		{1, &msg.ReadRequest{Key: aggregate(5)}, 0},
		{4, &msg.ReadRequest{Key: aggregate(5)}, 2},
		{4, &conn.PageRequest{ReadRequest: msg.ReadRequest{Key: aggregate(8)}}, 1},
		{4, &msg.DetailsRequest{Key: aggregate(7)}, 4},
		{4, &msg.TrimStartRequest{Key: aggregate(6)}, 3},
		{4, &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: aggregate(1)}, {Key: aggregate(5)}}}, 2},
		{4, &msg.WriteRequest{}, 0},
		{4, &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: aggregate(3)}}}, 4},
		{4, &msg.DeleteRequest{}, 0},
		{4, &msg.ListOrgsRequest{Shard: 2}, 3},
		{4, &msg.ListTypesRequest{Shard: 0}, 1},
		{4, &msg.ListAggregatesRequest{Shard: 3}, 4},
		{4, &msg.ListOrgsRequest{Shard: 4}, 0},
		{4, newShardProbe(), 0},
		{4, &msg.RegisterSchemaRequest{}, 0},
		{3, &msg.ReadRequest{Key: msg.Key{Aggregate: msg.IDFromUint64s(1, 0)}}, 2}, // 2⁶⁴ mod 3 is 1
	} {
		p := new(Pool)
		p.shards.Store(c.shards)
		if got := p.shardOf(c.req); got != c.want {
			t.Errorf("%d shards, %T: shard %d, want %d", c.shards, c.req, got, c.want)
		}
	}
}
