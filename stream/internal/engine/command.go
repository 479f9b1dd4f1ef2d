package engine

import (
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// CommandKind tells what a Command asks for.
type CommandKind uint8

// The commands. Each names the fields it uses and the input that answers it.
const (
	// Discover asks for the number of shards: ShardsKnown or DiscoverFailed.
	Discover CommandKind = iota + 1
	// Open opens the watch Link under Epoch, at a follower if Follower: Acked or
	// Lost.
	Open
	// Close drops the connection of Link and Epoch; no answer.
	Close
	// List asks the leader for a page of Shard from Cursor, Epoch being the number of
	// the list and Node the one a cursor came from: Listed or ListFailed. Look tells that
	// the list is only looked at for what is new, and not read to its end; Reason is why
	// any other one was begun.
	List
	// Load looks up the cursors of Keys: Loaded or LoadFailed, with ID.
	Load
	// Read reads Key from From to To at Node, at the leader if that is empty or
	// Leader asks for its word: PageRead or ReadFailed, with ID. Fresh asks the node
	// itself: an answer that others were given is the one that is doubted.
	Read
	// Deliver hands Changes, of Bytes payload bytes, to the consumer: Consumed.
	Deliver
	// Adopt stores Entries, cursors of which nothing was delivered: Committed.
	Adopt
	// Begin notes that the start of the subscription is made: Begun.
	Begin
	// CheckLeader asks whether Node leads, at this moment if Leader asks for its
	// word: LeaderChecked, or nothing.
	CheckLeader
	// SetState announces Phase, of Shard because of Err.
	SetState
	// Stop ends the subscription with Err. Nothing follows.
	Stop
)

// Link names one watch: one part of the scope's filter on one shard.
type Link struct {
	Shard uint64
	Part  int
}

// Command is one thing for the shell to do.
type Command struct {
	Kind     CommandKind
	Link     Link
	Epoch    uint64
	Follower bool
	Shard    uint64
	Cursor   msg.Opt[uint64]
	Node     string
	ID       uint64
	Keys     []msg.Key
	Key      msg.Key
	From     uint64
	To       msg.Opt[uint64]
	Leader   bool
	Fresh    bool
	Look     bool
	Reason   Reason
	Entries  []checkpoint.Entry
	Changes  []Change
	Bytes    int64
	Phase    Phase
	Err      error
}

// Phase is what the subscription is doing.
type Phase uint8

// The phases, numbered as the public ones.
const (
	Connecting Phase = iota
	CatchingUp
	Live
	Reconnecting
)

// ChangeKind tells what a Change is, numbered as the public kinds.
type ChangeKind uint8

// The kinds of changes.
const (
	Batch ChangeKind = iota + 1
	Deleted
	Reset
	Truncated
	Unreadable
	CaughtUp
)

// Change is one thing delivered; the public type of the same name documents it.
type Change struct {
	Kind     ChangeKind
	Key      msg.Key
	Batch    msg.Batch
	From, To uint64
	Version  uint64
	Cursor   checkpoint.Cursor
	Previous checkpoint.Cursor
}

// Page is the answer to a Read.
type Page struct {
	Batches []msg.Batch
	Next    msg.Opt[uint64]
	// Authoritative tells that the leader answered, or a standalone node: what
	// is absent from the answer is absent.
	Authoritative bool
	// Node answered.
	Node string
}

// FailureKind tells what the engine does about a failed request.
type FailureKind uint8

// The kinds of failures.
const (
	// Unavailable: the node or the store could not be asked; ask again later.
	Unavailable FailureKind = iota
	// Refused: the node answered with a code, which says nothing of other requests.
	Refused
	// Silent: the request was sent and never answered, or with a code that tells that
	// the node cannot read what was asked for.
	Silent
	// TooLarge: the answer exceeds what this client accepts.
	TooLarge
	// NotFound: the aggregate is missing or deleted.
	NotFound
	// BelowFloor: the version lies below the trim floor, Minimum.
	BelowFloor
	// Deposed: the node asked is not the leader, whose word was wanted.
	Deposed
	// Permanent: asking again is useless; the subscription ends.
	Permanent
)

// Failure is why a request had no answer of use.
type Failure struct {
	Kind          FailureKind
	Minimum       uint64
	Authoritative bool // as in Page
	// Answered tells that a code was the answer: the node can be asked.
	Answered bool
	Node     string
	Err      error
}
