package status

import (
	"slices"
	"time"
)

// Snapshot is everything that a page shows, as /status.json gives it. Times are in
// UTC, durations in seconds.
type Snapshot struct {
	// At is when the snapshot was taken.
	At time.Time `json:"at"`
	// Process names the process that answers, see [Options.Process].
	Process string `json:"process,omitempty"`
	// Sentence sums everything up in one sentence.
	Sentence string `json:"sentence"`
	// Level is the worst level of all consumers.
	Level Level `json:"level"`
	// Consumers are those of this process, the worst first. One that has ended
	// stays until the process does.
	Consumers []Consumer `json:"consumers"`
	// Nodes are the nodes that requests and watches of this process go to.
	Nodes []Node `json:"nodes,omitempty"`
	// Parked are the parked aggregates of all consumers, the newest first, at most 100.
	Parked []Parked `json:"parked,omitempty"`
	// Partitions are the partitions of each consumer that shares its work.
	Partitions []Partitions `json:"partitions,omitempty"`
	// Rebuilds, Waits and Streams are folded on the page.
	Rebuilds []Rebuild `json:"rebuilds,omitempty"`
	Waits    []Wait    `json:"waits,omitempty"`
	Streams  []Stream  `json:"streams,omitempty"`
}

// Level says how much attention a consumer needs. The worst is the highest.
type Level int

// The levels.
const (
	Fine      Level = iota // live, everything handled or on its way
	Busy                   // catching up, moving, waiting for its turn
	Attention              // retries, parked aggregates, a node away
	Ended                  // the subscription has ended; only a restart goes on
)

var levelWords = [...]string{"fine", "busy", "attention", "ended"}

// String returns the word that the page shows beside the level's sign.
func (l Level) String() string { return levelWords[min(max(l, Fine), Ended)] }

// MarshalText returns the level's word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText sets the level from its word. A word that this release does not know
// counts as Attention: a person should look.
func (l *Level) UnmarshalText(word []byte) error {
	*l = Attention
	if i := slices.Index(levelWords[:], string(word)); i >= 0 {
		*l = Level(i)
	}
	return nil
}

// Consumer is one consumer of this process.
type Consumer struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	// State is the state's word, such as "live" or "catching up".
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Cause says in words why the consumer is not live; Next what happens next. Both
	// are empty for a live consumer without trouble.
	Cause string `json:"cause,omitempty"`
	Next  string `json:"next,omitempty"`
	// Says is the row's sentence: state, cause, since when.
	Says string `json:"says"`
	// Proof is the first fact that supports the sentence.
	Proof string `json:"proof,omitempty"`
	// Retrying lists what is being tried again, the longest first.
	Retrying []Retry `json:"retrying,omitempty"`
	// Unhandled counts versions that are known and not committed. Trend is +1, 0 or -1
	// for how it moved over the last samples.
	Unhandled uint64 `json:"unhandled"`
	Trend     int    `json:"trend"`
	// OldestPending is the age of the oldest unhandled change, in seconds, by the
	// node's timestamp; 0 when there is none.
	OldestPending float64 `json:"oldestPendingSeconds"`
	// Uncommitted counts changes handed out and not stored: a crash repeats them. The
	// count is negative when that is not known.
	Uncommitted int64 `json:"uncommitted"`
	// Parked counts parked aggregates, Unreadable those that rest since a batch of theirs
	// cannot be read.
	Parked     int `json:"parked"`
	Unreadable int `json:"unreadable,omitempty"`
	// LastCommit is when cursors were stored last; absent before the first time.
	LastCommit time.Time `json:"lastCommit,omitzero"`
	// Batches counts batches delivered, Rates the batches per second of the last
	// samples, the newest last.
	Batches uint64    `json:"batches"`
	Rates   []float64 `json:"rates,omitempty"`
	// CaughtUp tells that the consumer has caught up at least once.
	CaughtUp bool `json:"caughtUp"`
	// Shards are the watches of the consumer, at most 64.
	Shards []Shard `json:"shards,omitempty"`
}

// Retry is something that failed and is tried again.
type Retry struct {
	// The part that is tried again: handler, store, database, node or client.
	What     string    `json:"what"`
	Since    time.Time `json:"since"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	// Next is when the next attempt is due; zero when it is under way.
	Next time.Time `json:"next,omitzero"`
}

// Shard is one watch of a consumer.
type Shard struct {
	Shard uint64 `json:"shard"`
	// Node is empty while the shard is not watched. Role is leader for a node that has said
	// so, else empty.
	Node string `json:"node,omitempty"`
	Role string `json:"role,omitempty"`
	// Heartbeat is when the last frame came, Opened how often the watch was opened.
	Heartbeat time.Time `json:"heartbeat,omitzero"`
	Opened    uint64    `json:"opened"`
}

// Node is one node of the store, as requests of this process see it.
type Node struct {
	Address string `json:"address"`
	// Role is leader, follower or unknown.
	Role string `json:"role"`
	// Open, Idle and Waiting count connections and the callers that wait for one.
	Open    int `json:"open"`
	Idle    int `json:"idle"`
	Waiting int `json:"waiting"`
	// Resting is until when the breaker leaves the node alone; zero when it does not.
	Resting time.Time `json:"resting,omitzero"`
	Error   string    `json:"error,omitempty"`
}

// Parked is one parked aggregate. The record comes from the checkpoint store.
type Parked struct {
	Consumer string `json:"consumer"`
	Key      string `json:"key"`
	// Life, Version and Attempts are named by the request to release or skip, which
	// is refused when they have changed.
	Life     uint64    `json:"life"`
	Version  uint64    `json:"version"`
	Attempts int       `json:"attempts"`
	Since    time.Time `json:"since"`
	Error    string    `json:"error"`
	// Request is what was asked for and not carried out yet: release or skip.
	Request string `json:"request,omitempty"`
}

// Partitions are the partitions of one name. Partitions come from the checkpoint
// store.
type Partitions struct {
	Consumer string `json:"consumer"`
	// Read is when the store was asked.
	Read time.Time `json:"read"`
	// Owners has one element for each partition: the owner's name, empty when nobody
	// owns it. Mine are the partitions of this process.
	Owners []string `json:"owners"`
	Mine   []uint32 `json:"mine,omitempty"`
	// Stopped maps a partition that a handler's failure stopped to the reason.
	Stopped map[uint32]string `json:"stopped,omitempty"`
}

// Rebuild is one rebuild beside the version that serves.
type Rebuild struct {
	Name      string        `json:"name"`
	State     string        `json:"state"`
	Done      uint64        `json:"done"`
	Remaining uint64        `json:"remaining"`
	Estimate  time.Duration `json:"estimateNanoseconds"`
}

// Wait is a group of callers that wait for a version to be handled.
type Wait struct {
	Name    string    `json:"name"`
	Waiting int       `json:"waiting"`
	Oldest  time.Time `json:"oldest"`
}

// Stream is a group of streams of a gateway.
type Stream struct {
	Mode string `json:"mode"`
	// Transport is grpc, or sse for the watches of browsers.
	Transport string `json:"transport,omitempty"`
	// Open counts all of them, Queued those that wait for their turn to catch up, Stalled
	// those whose clients do not read.
	Open    int `json:"open"`
	Queued  int `json:"queued"`
	Stalled int `json:"stalled"`
}
