package shard

import "github.com/celeriant/celeriant-go/msg"

// RecordKind says what a Record did.
type RecordKind uint8

// The kinds of records.
const (
	RecordWrite  RecordKind = 1
	RecordTrim   RecordKind = 2
	RecordDelete RecordKind = 3
	RecordSchema RecordKind = 4
)

// Record is one accepted mutation, the unit of the shard's log: it is applied,
// committed, stored and replicated whole. A Record holds everything that was
// decided when it was accepted, so that applying it anywhere leads to the same
// state. Records are immutable once a shard has them, and share their memory
// with what reads return.
type Record struct {
	Kind RecordKind
	// Time is the server timestamp, ClientID and UserID are the requester's.
	Time     uint64
	ClientID msg.ID
	UserID   msg.Opt[msg.ID]

	// Writes holds one entry per aggregate of a RecordWrite.
	Writes []WriteEntry
	// Deletes holds one entry per aggregate of a RecordDelete.
	Deletes []DeleteEntry
	// Trim belongs to a RecordTrim.
	Trim TrimEntry
	// Schema belongs to a RecordSchema.
	Schema SchemaEntry
}

// WriteEntry is one batch of a write and the aggregate's counters after it.
type WriteEntry struct {
	Key msg.Key
	// Batch repeats the record's client, user and time.
	Batch msg.Batch
	// MaxVersion and MaxEventSeq are the highest numbers the aggregate ever
	// had; after a fresh recreation above the batch's own (section 4.3).
	MaxVersion  uint64
	MaxEventSeq uint64
	// MinVersion is the lowest readable version.
	MinVersion uint64

	stored   uint64 // size by the rule of section 5, what budgets and lists count
	shortest uint64 // size on the wire in the shorter of both codecs
	longest  uint64 // size on the wire in the longer of both codecs
}

// DeleteEntry is one tombstone and the aggregate's counters at that time.
type DeleteEntry struct {
	Key                       msg.Key
	AllowRecreate             bool
	AllowSequenceContinuation bool
	MaxVersion                uint64
	MaxEventSeq               uint64
}

// TrimEntry is a new trim floor and the aggregate's counters at that time.
type TrimEntry struct {
	Key         msg.Key
	KeepFrom    uint64
	MaxVersion  uint64
	MaxEventSeq uint64
}

// SchemaEntry is a registered schema.
type SchemaEntry struct {
	Key  msg.SchemaKey
	Type msg.SchemaType
	Text string
}

// footprint is what a record takes of a log segment: a fixed share per entry
// for keys and checksums, and the stored sizes.
func (r *Record) footprint() uint64 {
	const perEntry = 96
	size := uint64(perEntry)
	for i := range r.Writes {
		size += perEntry + r.Writes[i].stored
	}
	size += perEntry * uint64(len(r.Deletes))
	return size + uint64(len(r.Schema.Text))
}
