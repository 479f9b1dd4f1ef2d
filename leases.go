package celeriant

import (
	"time"

	"github.com/celeriant/celeriant-go/stream"
)

// WithLeases divides the subscription into partitions that all share who open it under
// one name and store, in this process and in others: when one ends, the others take over.
// Default: the subscription has one owner, the one that opened it last. The store must
// be named (WithCheckpoints) and keep records, as all stores of this library do. See [stream.Leased] and
// docs/scaling.md.
func WithLeases() WatchOption {
	return func(o *watchOptions) { o.stream.Ownership = stream.Leased }
}

// WithPartitions is how many partitions a subscription with leases is divided into, the
// first time that it is opened; default 64. The number is rounded up to a multiple of the
// shards. Members that want another number than the stored one are refused.
func WithPartitions(n uint32) WatchOption {
	return func(o *watchOptions) { o.stream.Partitions = n }
}

// WithPartitionBy names the unit that is never divided between owners; default
// [stream.ByAggregate].
func WithPartitionBy(by stream.PartitionBy) WatchOption {
	return func(o *watchOptions) { o.stream.PartitionBy = by }
}

// WithLeaseTTL is how long other members wait for this process before they take over;
// default 15 s, at least 3 s.
func WithLeaseTTL(ttl time.Duration) WatchOption {
	return func(o *watchOptions) { o.stream.LeaseTTL = ttl }
}

// WithMember names this instance, the same in each of its runs: it takes the place of
// its former run at once, and gets the same partitions if it can. Default none.
func WithMember(name string) WatchOption {
	return func(o *watchOptions) { o.stream.Member = name }
}

// WithRebuildOf has the subscription take the place of the one named predecessor, in the
// same store: it handles the history beside it, with Replay set in its changes, never
// passes it, and goes on by itself from the cut-over on. See docs/rebuild.md.
func WithRebuildOf(predecessor string) WatchOption {
	return func(o *watchOptions) { o.stream.RebuildOf = predecessor }
}

// WithHandlerVersion declares the version of what handles the changes; default none.
// Another version, which is supposed to be mended, goes on where a verdict of Stop stopped.
// With leases, members with another version than the stored one are refused, unless they
// adopt it with [WithAdoptedScope].
func WithHandlerVersion(version string) WatchOption {
	return func(o *watchOptions) { o.stream.HandlerVersion = version }
}
