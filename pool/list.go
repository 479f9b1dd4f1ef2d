package pool

import (
	"context"
	"iter"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// ListTypesOptions narrow [Pool.ListTypes].
type ListTypesOptions struct {
	Org msg.Opt[msg.ID] // only this organisation
}

// ListAggregatesOptions narrow [Pool.ListAggregates].
type ListAggregatesOptions struct {
	Org  msg.Opt[msg.ID] // only this organisation
	Type msg.Opt[msg.ID] // only this aggregate type
	// IncludeDeleted yields deleted aggregates too, marked as such.
	IncludeDeleted bool
}

// The lists below visit every shard to its last page, all at one node, since
// another one can make nothing of its cursors; they end with it. No connection is held
// while the consumer works. An error is yielded once, as the last element. A
// list is not a snapshot: what changes meanwhile may or may not show.
// Protocol section 13.

// ListOrgs yields every organisation once, deleted content or not. ListOrgs
// remembers all it has yielded: about 50 bytes each.
func (o *operations) ListOrgs(ctx context.Context) iter.Seq2[msg.ID, error] {
	pages := func(o *operations, shard uint64, cursor msg.Opt[uint64]) ([]msg.ID, msg.Opt[uint64], error) {
		resp, err := o.ListOrgsPage(ctx, &msg.ListOrgsRequest{Shard: shard, Cursor: cursor})
		if err != nil {
			return nil, msg.None[uint64](), err
		}
		return resp.Orgs, resp.NextCursor, nil
	}
	return distinct(list(ctx, o, msg.TypeListOrgsRequest, pages), func(org msg.ID) msg.ID { return org })
}

// ListTypes yields every aggregate type once, deleted content or not. ListTypes
// remembers all it has yielded: about 80 bytes each.
func (o *operations) ListTypes(ctx context.Context, only ListTypesOptions) iter.Seq2[msg.TypeItem, error] {
	pages := func(o *operations, shard uint64, cursor msg.Opt[uint64]) ([]msg.TypeItem, msg.Opt[uint64], error) {
		resp, err := o.ListTypesPage(ctx, &msg.ListTypesRequest{Shard: shard, Org: only.Org, Cursor: cursor})
		if err != nil {
			return nil, msg.None[uint64](), err
		}
		return resp.Types, resp.NextCursor, nil
	}
	return distinct(list(ctx, o, msg.TypeListTypesRequest, pages), func(t msg.TypeItem) msg.TypeItem { return t })
}

// ListAggregates yields every aggregate once, as its newest entry shows it: an
// aggregate deleted and brought back is alive, one deleted last is not, whatever
// older entries say. Counts and sizes cover that entry only. A list is a source
// of hints: Details and Read have the last word on one aggregate.
//
// ListAggregates remembers the keys it has met, about 100 bytes each and deleted ones
// included: 100 MB for a million aggregates.
func (o *operations) ListAggregates(ctx context.Context, only ListAggregatesOptions) iter.Seq2[msg.AggregateItem, error] {
	pages := func(o *operations, shard uint64, cursor msg.Opt[uint64]) ([]msg.AggregateItem, msg.Opt[uint64], error) {
		resp, err := o.ListAggregatesPage(ctx, &msg.ListAggregatesRequest{Shard: shard, Org: only.Org, Type: only.Type, Cursor: cursor})
		if err != nil {
			return nil, msg.None[uint64](), err
		}
		return resp.Aggregates, resp.NextCursor, nil
	}
	newest := distinct(list(ctx, o, msg.TypeListAggregatesRequest, pages), func(a msg.AggregateItem) msg.Key { return a.Key })
	if only.IncludeDeleted {
		return newest
	}
	return func(yield func(msg.AggregateItem, error) bool) {
		for item, err := range newest {
			if err == nil && item.Deleted {
				continue
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// page returns one page of a shard and the cursor of the next.
type page[T any] func(o *operations, shard uint64, cursor msg.Opt[uint64]) ([]T, msg.Opt[uint64], error)

// list yields the entries of all pages of all shards, the newest of a shard
// first. A cursor that comes a second time would have no end and is refused.
func list[T any](ctx context.Context, o *operations, kind msg.RequestType, next page[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if err := checkContext(kind.String(), ctx); err != nil {
			yield(none, err)
			return
		}
		pinned, err := o.via.pin(ctx)
		if err != nil {
			yield(none, err)
			return
		}
		o := &operations{pinned}
		shards, err := o.Shards(ctx)
		if err != nil {
			yield(none, err)
			return
		}
		for shard := range shards {
			for items, err := range shardPages(o, kind, shard, next) {
				if err != nil {
					yield(none, err)
					return
				}
				for _, item := range items {
					if !yield(item, nil) {
						return
					}
				}
			}
		}
	}
}

// shardPages yields the pages of one shard.
func shardPages[T any](o *operations, kind msg.RequestType, shard uint64, next page[T]) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		cursors := make(map[uint64]struct{})
		for cursor := msg.None[uint64](); ; {
			items, following, err := next(o, shard, cursor)
			if !yield(items, err) || err != nil || !following.Set {
				return
			}
			if _, seen := cursors[following.Value]; seen {
				yield(nil, o.listError(kind, conn.Violation("cursor %d of shard %d came twice", following.Value, shard)))
				return
			}
			cursors[following.Value] = struct{}{}
			cursor = following
		}
	}
}

// distinct yields the first of all elements with one key.
func distinct[T any, K comparable](all iter.Seq2[T, error], key func(T) K) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		seen := make(map[K]struct{})
		for item, err := range all {
			if err == nil {
				k := key(item)
				if _, ok := seen[k]; ok {
					continue
				}
				seen[k] = struct{}{}
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

func (o *operations) listError(kind msg.RequestType, err error) error {
	return &Error{Op: kind.String(), Node: o.via.node(), Sent: true, Err: err}
}
