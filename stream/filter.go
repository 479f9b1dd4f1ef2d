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
	if s.all {
		return []watchFilter{{}}
	}
	keysBy := []func() []watchFilter{
		func() []watchFilter {
			return byAggregate(distinctIDs(s.keys, func(k msg.Key) msg.ID { return k.Aggregate }))
		},
		func() []watchFilter { return byType(distinctIDs(s.keys, func(k msg.Key) msg.ID { return k.Type })) },
		func() []watchFilter { return byOrg(distinctIDs(s.keys, func(k msg.Key) msg.ID { return k.Org })) },
	}
	exact := append(byOrg(s.orgs), typesOfOrgs(s.types)...)
	for _, keys := range keysBy {
		if parts := append(slices.Clip(exact), keys()...); len(parts) <= maxParts {
			return parts
		}
	}
	orgs := slices.Concat(s.orgs,
		distinctIDs(s.types, func(t aggregateType) msg.ID { return t.org }),
		distinctIDs(s.keys, func(k msg.Key) msg.ID { return k.Org }))
	if parts := byOrg(distinct(orgs, msg.ID.Compare)); len(parts) <= maxParts {
		return parts
	}
	return []watchFilter{{}}
}

func byAggregate(ids []msg.ID) []watchFilter {
	return filters(ids, idsPerWatch, func(ids []msg.ID) watchFilter { return watchFilter{aggregates: ids} })
}

func byType(ids []msg.ID) []watchFilter {
	return filters(ids, idsPerWatch, func(ids []msg.ID) watchFilter { return watchFilter{types: ids} })
}

func byOrg(ids []msg.ID) []watchFilter {
	return filters(ids, idsPerWatch, func(ids []msg.ID) watchFilter { return watchFilter{orgs: ids} })
}

// typesOfOrgs makes the filters of types, which are sorted by organisation.
func typesOfOrgs(types []aggregateType) []watchFilter {
	var parts []watchFilter
	for len(types) > 0 {
		org := types[0].org
		n := slices.IndexFunc(types, func(t aggregateType) bool { return t.org != org })
		if n < 0 {
			n = len(types)
		}
		parts = append(parts, filters(project(types[:n], aggregateType.id), idsPerWatch-1, func(ids []msg.ID) watchFilter {
			return watchFilter{orgs: []msg.ID{org}, types: ids}
		})...)
		types = types[n:]
	}
	return parts
}

func filters(ids []msg.ID, each int, of func([]msg.ID) watchFilter) []watchFilter {
	var parts []watchFilter
	for chunk := range slices.Chunk(ids, each) {
		parts = append(parts, of(chunk))
	}
	return parts
}

func project[T, U any](members []T, of func(T) U) []U {
	out := make([]U, len(members))
	for i, m := range members {
		out[i] = of(m)
	}
	return out
}

func distinctIDs[T any](members []T, of func(T) msg.ID) []msg.ID {
	return distinct(project(members, of), msg.ID.Compare)
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
// scope: an organisation if it is the only one, a type likewise.
func (s Scope) listFilter() (org, typ msg.Opt[msg.ID]) {
	if s.Empty() || s.all {
		return org, typ
	}
	orgs := slices.Concat(s.orgs,
		distinctIDs(s.types, func(t aggregateType) msg.ID { return t.org }),
		distinctIDs(s.keys, func(k msg.Key) msg.ID { return k.Org }))
	if orgs = distinct(orgs, msg.ID.Compare); len(orgs) == 1 {
		org = msg.Some(orgs[0])
	}
	types := distinct(slices.Concat(
		distinctIDs(s.types, aggregateType.id),
		distinctIDs(s.keys, func(k msg.Key) msg.ID { return k.Type })), msg.ID.Compare)
	if len(s.orgs) == 0 && len(types) == 1 {
		typ = msg.Some(types[0])
	}
	return org, typ
}
