package stream

import (
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// maxSharedLatency is the longest coalescing window that is shared, the
// reference server's own limit. Within it a heartbeat, due after 5 quiet
// seconds, proves that the node holds no notification back.
const maxSharedLatency = 2000

// groupKey is what watches must have in common to share connections. The latency is
// part of it: with a lower one a subscriber would be woken, and would read, more often
// than it asked for.
type groupKey struct {
	shard    uint64
	latency  uint64
	follower bool
}

// sharedFilter takes a request apart; false if it is not shared: without a shard, with
// a choice of operations, with an empty set, or with a latency above the limit.
func sharedFilter(follower bool, req *msg.WatchRequest) (groupKey, watchFilter, bool) {
	key := groupKey{shard: req.Shard.Value, latency: req.LatencyMS.Or(0), follower: follower}
	if !req.Shard.Set || req.Operations != nil || key.latency > maxSharedLatency {
		return key, watchFilter{}, false
	}
	var f watchFilter
	for i, ids := range [][]msg.ID{req.Orgs, req.Types, req.Aggregates} {
		if ids == nil {
			continue
		}
		if len(ids) == 0 {
			return key, f, false
		}
		*f.sets()[i] = distinct(ids, msg.ID.Compare)
	}
	return key, f, true
}

// sets returns the filter's three sets; nil lets everything through.
func (f *watchFilter) sets() [3]*[]msg.ID {
	return [3]*[]msg.ID{&f.orgs, &f.types, &f.aggregates}
}

func (f *watchFilter) matches(key msg.Key) bool {
	return passes(f.orgs, key.Org) && passes(f.types, key.Type) && passes(f.aggregates, key.Aggregate)
}

func passes(set []msg.ID, id msg.ID) bool { return set == nil || contains(set, id, msg.ID.Compare) }

// covers reports whether f lets through all that g does.
func (f *watchFilter) covers(g *watchFilter) bool {
	theirs := g.sets()
	for i, set := range f.sets() {
		if *set == nil {
			continue
		}
		if *theirs[i] == nil {
			return false
		}
		for _, id := range *theirs[i] {
			if !contains(*set, id, msg.ID.Compare) {
				return false
			}
		}
	}
	return true
}

// sameKind reports whether both restrict the same sets. Only such filters are united
// while fewer than maxParts connections are in use: the cover of a type and an
// aggregate would be everything.
func (f *watchFilter) sameKind(g *watchFilter) bool {
	theirs := g.sets()
	for i, set := range f.sets() {
		if (*set == nil) != (*theirs[i] == nil) {
			return false
		}
	}
	return true
}

// cover returns the narrowest filter that covers both.
func cover(a, b watchFilter) watchFilter {
	var c watchFilter
	left, right := a.sets(), b.sets()
	for i, set := range c.sets() {
		if *left[i] != nil && *right[i] != nil {
			*set = distinct(slices.Concat(*left[i], *right[i]), msg.ID.Compare)
		}
	}
	return c
}

// fits reports whether the filter fits one watch request.
func (f *watchFilter) fits() bool {
	return len(f.orgs)+len(f.types)+len(f.aggregates) <= idsPerWatch
}

// widened drops the largest set until the filter fits: aggregates give way to
// their type or organisation where all name one, and to everything at last.
func (f watchFilter) widened() watchFilter {
	for !f.fits() {
		longest := &f.orgs
		for _, set := range f.sets() {
			if len(*set) > len(*longest) {
				longest = set
			}
		}
		*longest = nil
	}
	return f
}
