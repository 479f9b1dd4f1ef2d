package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Backoff generates the waits between attempts; backoff/v4's generators fit.
type Backoff interface {
	NextBackOff() time.Duration
	Reset()
}

// Options are the engine's settings; every field but MaxShards, MaxUncommitted, NewReconnect,
// Partition, PartitionShards and Started must be set.
type Options struct {
	// Contains tells whether an aggregate belongs to the scope.
	Contains func(msg.Key) bool
	// Partition assigns each aggregate to a partition, of which only the owned ones
	// are followed, see SetOwned; nil for no partitions.
	Partition func(msg.Key) uint32
	// PartitionShards names the shards, of so many, whose aggregates may belong to a
	// partition; nil: any shard's.
	PartitionShards func(partition uint32, shards uint64) []uint64
	// Explicit are the members of a scope of single aggregates, nil otherwise.
	Explicit []msg.Key
	// FromNow begins aggregates that have no cursor behind what the first list of
	// their shard shows. Started tells of those whose start was made before, which
	// are new if they have none; nil for none.
	FromNow bool
	Started func(msg.Key) bool
	// LiveOnly begins aggregates that have no cursor behind what was there when their
	// shard was acknowledged, without a list.
	LiveOnly bool
	// MaxShards bounds the number of shards that is believed; 0 for no bound.
	MaxShards uint64
	// Parts is the number of watches per shard.
	Parts int
	// Readers bounds the reads in flight.
	Readers int
	// Buffer bounds the payload bytes read and not yet consumed.
	Buffer int64
	// MaxUncommitted bounds the aggregates of which something was delivered and is not
	// committed: at the bound nothing is read; 0 for no bound.
	MaxUncommitted int
	// MaxLanes bounds the lanes that notifications may create.
	MaxLanes int
	// Liveness is how long a link may be silent.
	Liveness time.Duration
	// Healthy is how long a success must last before backoffs start anew.
	Healthy time.Duration
	// Reconcile is the interval of anti-entropy; 0 switches it off.
	Reconcile time.Duration
	// Followers watches and reads at a follower, while there is one that keeps up.
	Followers bool
	// Probe is the interval at which the nodes watched are asked whether they
	// lead, and followers are compared with the leader; 0 switches it off.
	Probe time.Duration
	// MaxLag is how long a follower may not show what the leader does.
	MaxLag time.Duration
	// Late is when, after a list, the leader's newest changes are looked through
	// once more, for what was notified before the watch and shown after the list;
	// 0 switches it off.
	Late time.Duration
	// Recent is how many cursors of aggregates at rest are held, so that a change to
	// one needs no look-up; 0 for none.
	Recent int
	// ContinueOnly skips old batches after a continuing recreation.
	ContinueOnly bool
	// NewBackoff makes a generator for one thing that may fail repeatedly.
	NewBackoff func() Backoff
	// NewReconnect makes one for what is tried once for all, while the node cannot be
	// reached; nil means NewBackoff.
	NewReconnect func() Backoff
}

const (
	// maxOpening is how many links are being opened at once.
	maxOpening = 64
	// backlog is how many lanes may be queued before listing pauses.
	backlog = 4096
	// lookup is how many cursors one Load asks for.
	lookup = 512
	// spares is how many forgotten lanes are kept to be used again.
	spares = 64
	// overhead is what a batch and an event cost beside their payload.
	batchOverhead, eventOverhead = 128, 112
	// announcement is what a change without a batch counts against the buffer.
	announcement = 256
	// maxVersion is the highest version or floor that is believed: a store keeps no
	// cursor beyond.
	maxVersion = 1<<63 - 1
	// emptyPages is how many pages in a row may bring nothing and name another one.
	emptyPages = 8
	// peekPages is how many pages a look for what is new takes at most.
	peekPages = 16
	// knownPages is how many list pages in a row may hold only what is known.
	knownPages = 4096
	// maxSeen is how many keys of one list are remembered.
	maxSeen = 1 << 20
	// maxWindow bounds the versions one read asks for.
	maxWindow = 8192
	// patience is how often in a row a page may fail before the list is begun
	// again at another node.
	patience = 3
	// exile is how long a follower that fell behind is not asked for again, doubled up to
	// maxLeft times while it does so within forgiven.
	exile    = 30 * time.Second
	maxLeft  = 4
	forgiven = 10 * time.Minute
	// drift is by how many milliseconds the clocks of nodes may differ.
	drift = 5000
	// refusals is how many lanes a node may refuse in a row before it is given a pause.
	refusals = 16
	// lasting is how long a node must have been away for its return to wake those that
	// waited for it: one that answers by turns would be asked without a pause.
	lasting = time.Second
	// silences is how often a single batch may stay unanswered by a node that
	// answers everything else before it counts as unreadable.
	silences = 2
)
