package lease

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

const (
	// definitionKey is the key of the definition's record. A claim of a partition
	// checks it: nobody claims under a definition that was replaced. The key
	// begins as the partitions' records do, with which a new definition removes
	// it.
	definitionKey = checkpoint.PartitionPrefix + "definition"
	// memberPrefix begins the keys of heartbeats, records of the store as a whole.
	memberPrefix = "member/"

	partitionFormat = 1
	heartbeatFormat = 1
)

// Partition is the record of one partition. The record changes only with its
// ownership.
type Partition struct {
	Format int              `json:"format"`
	Epoch  uint64           `json:"epoch"`
	Token  checkpoint.Token `json:"token"`
	// Process and Member name the owner; both are empty for a partition that was
	// given up.
	Process string `json:"process,omitempty"`
	Member  string `json:"member,omitempty"`
	// For is the member to whom it was given, as long as that one asks for it.
	For string `json:"for,omitempty"`
	// Start is where aggregates without a cursor begin, see [Start].
	Start *Start `json:"start,omitempty"`
}

// Start is the state of a start from now, in one partition.
type Start struct {
	// Since is the node's time of the first claim, in milliseconds: batches that
	// were committed five seconds before it or earlier are passed over.
	Since uint64 `json:"since"`
	// Made tells that every aggregate that was there has a cursor.
	Made bool `json:"made,omitempty"`
}

// ParsePartition reads the record of a partition.
func ParsePartition(r checkpoint.Record) (Partition, error) {
	var p Partition
	err := decode("record "+r.Key, r.Value, partitionFormat, &p)
	return p, err
}

func (p Partition) encode() []byte {
	p.Format = partitionFormat
	return encode(p)
}

// Host identifies a process for others on the same machine, which can then tell
// that it ended. The zero Host tells nothing.
type Host struct {
	// Boot and Namespace name the run of the machine and the space of its process
	// numbers.
	Boot      string `json:"boot,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	PID       int    `json:"pid,omitempty"`
	// Started is when the process began, in the machine's own unit.
	Started uint64 `json:"started,omitempty"`
}

// Summary is what a heartbeat tells of the work of one member.
type Summary struct {
	State string `json:"state,omitempty"`
	// Unhandled counts versions that are known and not committed, Oldest is the
	// server's time of the oldest of them, in milliseconds; 0 for none.
	Unhandled uint64 `json:"unhandled,omitempty"`
	Oldest    uint64 `json:"oldest,omitempty"`
	// Parked counts aggregates that are set aside.
	Parked int `json:"parked,omitempty"`
	// Error is what is being retried, for how long in milliseconds; empty for nothing.
	Error string `json:"error,omitempty"`
	Since int64  `json:"since,omitempty"`
}

// memberEntry is one member in its process's heartbeat.
type memberEntry struct {
	Name string `json:"name"`
	// ID is unique; Label is the name its operator gave it, shared by the runs of
	// one instance: the one that joined last supersedes the others.
	ID         string  `json:"id"`
	Label      string  `json:"label,omitempty"`
	Joined     int64   `json:"joined"` // the store's time, milliseconds
	Generation uint64  `json:"generation"`
	Holds      Set     `json:"holds"`
	Asks       Set     `json:"asks,omitempty"`
	Summary    Summary `json:"summary,omitzero"`
}

// heartbeat is the record of one process at one store.
type heartbeat struct {
	Format int `json:"format"`
	// Beat counts the heartbeats.
	Beat uint64 `json:"beat"`
	// TTL and Expires are milliseconds; the latter is the store's time.
	TTL     int64         `json:"ttl"`
	Expires int64         `json:"expires"`
	Host    Host          `json:"host,omitzero"`
	Members []memberEntry `json:"members"`
}

func parseHeartbeat(r checkpoint.Record) (process string, h heartbeat, err error) {
	err = decode("record "+r.Key, r.Value, heartbeatFormat, &h)
	if err == nil && (h.TTL <= 0 || h.TTL > int64(time.Hour/time.Millisecond)) {
		err = &checkpoint.DamagedError{Where: "record " + r.Key, Offset: -1, Reason: fmt.Sprintf("a TTL of %d ms", h.TTL)}
	}
	return strings.TrimPrefix(r.Key, memberPrefix), h, err
}

// partitionOf is the partition whose record has the key.
func partitionOf(key string) (uint32, bool) {
	digits, ok := strings.CutPrefix(key, checkpoint.PartitionPrefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && checkpoint.PartitionKey(uint32(n)) == key
}
