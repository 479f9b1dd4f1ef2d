package celerianttest

import (
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// refusal is the node's no to a request.
type refusal = shard.Refusal

// record is one accepted change, shared by all copies of a shard.
type record = shard.Record

func refuse(code msg.Code, message string) *refusal {
	return &refusal{Code: code, Message: message}
}

// router knows which shard a request belongs to. Server semantics 2.
type router struct {
	shards  uint64
	rule    msg.RoutingRule
	reserve bool
}

// route returns the shard of a request, or 9001 or 9002.
func (r router) route(req msg.Request) (uint64, *refusal) {
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

func (r router) shardOf(key msg.Key) uint64 {
	return r.ofID(r.rule.RoutingID(key))
}

func (r router) ofID(id msg.ID) uint64 { return msg.ShardOf(id, r.shards, r.reserve) }

func (r router) named(shard uint64) (uint64, *refusal) {
	if shard >= r.shards {
		return 0, r.misfit(fmt.Sprintf("Invalid shard_id %d. Must be less than %d (total number of shards).", shard, r.shards))
	}
	return shard, nil
}

// watch routes by the shard named, or else by the filter that the routing rule
// needs; an empty filter counts as missing, also when there is one shard only.
func (r router) watch(req *msg.WatchRequest) (uint64, *refusal) {
	if shard, ok := req.Shard.Get(); ok {
		return r.named(shard)
	}
	switch r.rule {
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
func oneShard[T any](r router, items []T, whenEmpty string, shardOf func(T) uint64) (uint64, *refusal) {
	if len(items) == 0 {
		return 0, r.misfit(whenEmpty)
	}
	shard := shardOf(items[0])
	for _, item := range items[1:] {
		if shardOf(item) != shard {
			return 0, refuse(msg.CodeSeveralShards, fmt.Sprintf(`{"num_shards":%d}`, r.shards))
		}
	}
	return shard, nil
}

func (r router) misfit(detail string) *refusal {
	return refuse(msg.CodeRouting, fmt.Sprintf(`{"detail":"%s","num_shards":%d}`, detail, r.shards))
}
