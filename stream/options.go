package stream

import (
	"log/slog"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Continuation decides what follows the recreation of a deleted aggregate
// that goes on counting, which makes its old batches readable again.
type Continuation uint8

const (
	// Replay delivers the old batches again from the start, because Deleted
	// voided what was built of them: right for read models.
	Replay Continuation = iota
	// ContinueOnly delivers just the new batches: right for consumers that act
	// on events.
	ContinueOnly
)

// Start decides where a subscription begins with aggregates that it has no
// cursor of.
type Start uint8

const (
	// FromBeginning delivers all that is still readable.
	FromBeginning Start = iota
	// FromNow delivers nothing that was there before the subscription was
	// acknowledged. The first run reads the newest batch of each aggregate of the
	// scope and stores a cursor there; the start is made, and noted in the
	// checkpoint store, when the first CaughtUp is delivered. Later runs resume, and
	// deliver from the beginning what was created meanwhile. A run that ends
	// before its CaughtUp leaves the start to the next one. Members added to the
	// scope of a running subscription start at that moment. Batches committed between
	// the acknowledgement and the first CaughtUp may count as there before the start,
	// and are then not delivered; later ones always are. With leases the group starts
	// once, at its first claim: batches since, and up to five seconds before by the
	// clock of the process that made it, are delivered, whoever owns their partition
	// by then.
	FromNow
	// LiveOnly delivers what is committed once the subscription is acknowledged, and
	// begins at once: nothing is listed and nothing is read first, however many
	// aggregates the scope has. Such a subscription keeps no position from run to run,
	// so Store must not be set. Batches committed while a watch is lost are delivered
	// when it is back, if the node's timestamp says that they are newer than the start.
	// A start whose time no list has told yet is the client's clock less a minute. An
	// aggregate is heard of from its first new batch on, so that a Deleted comes only
	// for what was delivered before.
	LiveOnly
)

// Options shape a subscription. The zero value of each field means its default.
type Options struct {
	// Name identifies the subscription in its checkpoint store. Default: the
	// canonical text of the scope, and of Range if that is not whole.
	Name string
	// Store keeps the cursors. Default: a memory store of the subscription's
	// own, so that each subscription starts from the beginning. Not with LiveOnly.
	Store checkpoint.Store
	// Start is where aggregates without a cursor begin. Default FromBeginning.
	Start Start
	// Cursors are where aggregates begin that have no stored cursor, whatever Start
	// says: a change's Cursor, kept by the caller, has its batch verified and what
	// follows delivered, as after a restart. The cursors are stored by Open. Cursors have a
	// text form, see [checkpoint.Cursor.MarshalText]. Each key must be of the scope. Not with
	// LiveOnly or Leased. Default: none.
	Cursors map[msg.Key]checkpoint.Cursor
	// Range restricts the subscription to a share of the scope's aggregates, so
	// that several processes can divide a scope among them, each with a name of its
	// own. Default: all.
	Range HashRange
	// AdoptScope lets the subscription continue a checkpoint that was made for
	// another scope. Aggregates outside the new scope keep their cursors.
	AdoptScope bool
	// Ownership decides who may store cursors under the name. Default SingleOwner.
	Ownership Ownership
	// Partitions is the count of partitions wanted when the subscription is divided
	// first: rounded up to a multiple of the shards. Default: what is stored, or 64.
	// Another count than the stored one is refused. Only with Leased, as all that
	// follow.
	Partitions uint32
	// PartitionBy is the unit that is never divided. Default ByAggregate.
	PartitionBy PartitionBy
	// LeaseTTL is how long others wait for this process before they take over, and
	// the bound on what a handler may do once its process is cut off from the store.
	// Default 15 s, at least 3 s.
	LeaseTTL time.Duration
	// Member names this instance, the same in each run and unlike that of any other
	// instance: a member takes the place of an earlier one of its name at once, and
	// gets the same partitions if it can. Default: none; after a crash of the process
	// its partitions are then taken over when the TTL is over, at once only by a
	// process of the same machine on Linux.
	Member string
	// HandlerVersion declares the version of what handles the changes. Another version,
	// which is supposed to be mended, goes on where a verdict of Stop has stopped, see
	// package operators. With leases, members with another version than the stored
	// one are refused, unless they adopt it with AdoptScope, which ends those with the
	// former one. Default: empty.
	HandlerVersion string
	// RebuildOf names the subscription whose place this one is to take: its predecessor.
	// Every change that the predecessor has handled is delivered with Replay set, and
	// nothing else before the cut-over, see package checkpoint/rebuild; CaughtUp comes behind it.
	// The first to open the subscription begins the rebuild; whoever opens it later may
	// leave the option out, also once it is current. The scope must be the
	// predecessor's, and Start and Cursors unset; the store must be a
	// [checkpoint.RecordStore]. Default: none.
	RebuildOf string
	// Latency is the coalescing window asked of the node. Default 0: each
	// change is notified at once. The reference server allows at most 2 s.
	Latency time.Duration
	// Buffer bounds the payload bytes read ahead of the consumer. Default
	// 16 MiB. Each of the Readers reads one batch at least, so that up to Readers
	// batches larger than their shares come on top; one larger than Buffer is still
	// delivered, alone.
	Buffer int64
	// MaxUncommitted bounds the aggregates of which something was delivered and is not
	// committed, each of which costs some 900 bytes: at the bound nothing more is read
	// until something is committed, and the state says so, with [ErrUncommitted] as its
	// cause. Default 32,768; negative for no bound.
	MaxUncommitted int
	// Readers bounds the reads in flight. Default 8; at most one per aggregate.
	Readers int
	// Continuation decides what a continuing recreation delivers. Default Replay.
	Continuation Continuation
	// Liveness is how long a watch may be silent before its shard counts as
	// lost. Default 14 s, a little less than three of the node's heartbeats; at least
	// 6 s, and better not below 10 s.
	Liveness time.Duration
	// Reconcile is the interval at which all shards are listed and compared with
	// the cursors although nothing seems lost. Default 10 minutes; negative
	// switches it off. At least 1 s.
	Reconcile time.Duration
	// Followers watches and reads at a follower, while one can be reached and
	// keeps up, and so takes the load off the leader. Batches that a follower does
	// not show are read at the leader. Handlers never see older data after newer.
	// Default false: at the leader.
	Followers bool
	// MaxLag is how long a follower may not show something the leader does, before
	// the leader is watched in its place; a follower is tried again after 30 s, or up
	// to 8 minutes later while it goes on to lag. Only with Followers. Default 5 s, at least 100 ms.
	MaxLag time.Duration
	// Probe is the interval at which the nodes that are watched are asked whether
	// they lead, so that one that was deposed without a sign is left, and at which
	// followers are compared with the leader. Default 2 s; negative switches it
	// off, which only a standalone node can do without. At least 100 ms.
	Probe time.Duration
	// Logger receives one line for each transition. Default: none.
	Logger *slog.Logger
	// OnState, when set, is called with each new state, and when something begins or
	// ceases to be retried, in order, one call at a time. OnState may call the
	// subscription, but must not block. A panic in it is logged and ends nothing.
	OnState func(State)
	// Hooks are told what the subscription does. Default: none.
	Hooks Hooks
}
