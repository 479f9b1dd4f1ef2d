package stream

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const (
	// idsPerWatch is how many ids fit one watch request: its body holds 1007
	// bytes (protocol section 3.1), an id takes at most 18 of them in either
	// codec, and 48 leave room for everything else.
	idsPerWatch = 48
	// maxParts bounds the connections one shard's filter may take. A wider
	// filter costs notifications that are thrown away here; a connection each
	// 48 ids costs the node more.
	maxParts = 8
)

// watchFilter is one watch's share of a scope. Filters match ids, not keys, so
// they let through more than the scope; Contains has the last word.
type watchFilter struct {
	orgs, types, aggregates []msg.ID
}

// watches splits the scope into filters that each fit one watch request. Where
// that takes too many, the filter of the enclosing types, then organisations,
// then everything is used.
func (s Scope) watches() []watchFilter {
	switch s.kind {
	case scopeAggregates:
		if parts, ok := split(distinct(project(s.keys, func(k msg.Key) msg.ID { return k.Aggregate })), 0); ok {
			return filters(parts, func(ids []msg.ID) watchFilter { return watchFilter{aggregates: ids} })
		}
		if parts, ok := split(distinct(project(s.keys, func(k msg.Key) msg.ID { return k.Type })), 0); ok {
			return filters(parts, func(ids []msg.ID) watchFilter { return watchFilter{types: ids} })
		}
		if parts, ok := split(distinct(project(s.keys, func(k msg.Key) msg.ID { return k.Org })), 0); ok {
			return filters(parts, func(ids []msg.ID) watchFilter { return watchFilter{orgs: ids} })
		}
	case scopeTypes:
		if parts, ok := split(s.types, 1); ok {
			return filters(parts, func(ids []msg.ID) watchFilter { return watchFilter{orgs: s.orgs, types: ids} })
		}
		return []watchFilter{{orgs: s.orgs}}
	case scopeOrgs:
		if parts, ok := split(s.orgs, 0); ok {
			return filters(parts, func(ids []msg.ID) watchFilter { return watchFilter{orgs: ids} })
		}
	}
	return []watchFilter{{}}
}

// split cuts ids into slices that fit a watch beside others ids; false if there
// are too many.
func split(ids []msg.ID, others int) ([][]msg.ID, bool) {
	parts := slices.Collect(slices.Chunk(ids, idsPerWatch-others))
	return parts, len(parts) <= maxParts
}

func filters(parts [][]msg.ID, make1 func([]msg.ID) watchFilter) []watchFilter {
	out := make([]watchFilter, len(parts))
	for i, ids := range parts {
		out[i] = make1(ids)
	}
	return out
}

func project(keys []msg.Key, of func(msg.Key) msg.ID) []msg.ID {
	ids := make([]msg.ID, len(keys))
	for i, k := range keys {
		ids[i] = of(k)
	}
	return ids
}

// request makes the watch request of one shard. All operations are asked for:
// deletes, creates and trims decide what reads mean.
func (f watchFilter) request(shard uint64, latency time.Duration) *msg.WatchRequest {
	r := &msg.WatchRequest{
		Shard:      msg.Some(shard),
		Orgs:       f.orgs,
		Types:      f.types,
		Aggregates: f.aggregates,
	}
	if latency > 0 {
		r.LatencyMS = msg.Some(uint64(max(1, latency.Milliseconds())))
	}
	return r
}

// listFilter returns the narrowest filter of a list request that covers the
// scope.
func (s Scope) listFilter() (org, typ msg.Opt[msg.ID]) {
	switch s.kind {
	case scopeTypes:
		org = msg.Some(s.orgs[0])
		if len(s.types) == 1 {
			typ = msg.Some(s.types[0])
		}
	case scopeOrgs:
		if len(s.orgs) == 1 {
			org = msg.Some(s.orgs[0])
		}
	case scopeAggregates:
		org, typ = msg.Some(s.keys[0].Org), msg.Some(s.keys[0].Type)
		for _, k := range s.keys {
			if k.Org != org.Value {
				org.Set = false
			}
			if k.Type != typ.Value {
				typ.Set = false
			}
		}
		if !org.Set {
			org = msg.None[msg.ID]()
		}
		if !typ.Set {
			typ = msg.None[msg.ID]()
		}
	}
	return org, typ
}
