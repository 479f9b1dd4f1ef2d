package route

import (
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/msg"
)

// Router knows which shard a request belongs to. Server semantics 2.
type Router struct {
	Shards  uint64
	Rule    msg.RoutingRule
	Reserve bool
}

// Route returns the shard of a request, or 9001 or 9002.
func (r Router) Route(req msg.Request) (uint64, *refusal.Refusal) {
	switch req := req.(type) {
	case *msg.DetailsRequest:
		return r.shardOf(req.Key), nil
	case *msg.ReadRequest:
		return r.shardOf(req.Key), nil
	case *msg.TrimStartRequest:
		return r.shardOf(req.Key), nil
	case *msg.WriteRequest:
		return oneShard(r, req.Writes, "Write request must contain at least one write operation.",
			func(w msg.AggregateWrite) uint64 { return r.shardOf(w.Key) })
	case *msg.DeleteRequest:
		return oneShard(r, req.Deletes, "Delete request must contain at least one delete operation.",
			func(d msg.AggregateDelete) uint64 { return r.shardOf(d.Key) })
	case *msg.ListOrgsRequest:
		return r.named(req.Shard)
	case *msg.ListTypesRequest:
		return r.named(req.Shard)
	case *msg.ListAggregatesRequest:
		return r.named(req.Shard)
	case *msg.WatchRequest:
		return r.watch(req)
	}
	return 0, nil // schemas and identities belong to shard 0
}

func (r Router) shardOf(key msg.Key) uint64 {
	return r.ofID(r.Rule.RoutingID(key))
}

func (r Router) ofID(id msg.ID) uint64 { return msg.ShardOf(id, r.Shards, r.Reserve) }

func (r Router) named(shard uint64) (uint64, *refusal.Refusal) {
	if shard >= r.Shards {
		return 0, r.misfit(fmt.Sprintf("Invalid shard_id %d. Must be less than %d (total number of shards).", shard, r.Shards))
	}
	return shard, nil
}

// watch routes by the shard named, or else by the filter that the routing rule
// needs; an empty filter counts as missing, also when there is one shard only.
func (r Router) watch(req *msg.WatchRequest) (uint64, *refusal.Refusal) {
	if shard, ok := req.Shard.Get(); ok {
		return r.named(shard)
	}
	switch r.Rule {
	case msg.RouteByOrg:
		return oneShard(r, req.Orgs, missingFilter("organisation"), r.ofID)
	case msg.RouteByType:
		return oneShard(r, req.Types, missingFilter("aggregate type"), r.ofID)
	default:
		return oneShard(r, req.Aggregates, missingFilter("aggregate"), r.ofID)
	}
}

func missingFilter(of string) string {
	return fmt.Sprintf("Must specify at least one %s. Server is setup to shard by %s.", of, of)
}

// oneShard returns the shard all items belong to.
func oneShard[T any](r Router, items []T, whenEmpty string, shardOf func(T) uint64) (uint64, *refusal.Refusal) {
	if len(items) == 0 {
		return 0, r.misfit(whenEmpty)
	}
	shard := shardOf(items[0])
	for _, item := range items[1:] {
		if shardOf(item) != shard {
			return 0, refusal.New(msg.CodeSeveralShards, fmt.Sprintf(`{"num_shards":%d}`, r.Shards))
		}
	}
	return shard, nil
}

func (r Router) misfit(detail string) *refusal.Refusal {
	return refusal.New(msg.CodeRouting, fmt.Sprintf(`{"detail":"%s","num_shards":%d}`, detail, r.Shards))
}
