package convert

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// The messages of the hot path are encoded by hand: changes are encoded once into
// the buffer that is sent, which costs a fraction of building messages first. The
// numbers are those of the .proto files; a test compares the result with what the
// generated code makes of it.
const (
	fieldResponseChanges = 2

	fieldChangesFirst  = 1
	fieldChangesChange = 2

	fieldChangeKey        = 1
	fieldChangePartition  = 2
	fieldChangeBatch      = 3
	fieldChangePart       = 4
	fieldChangeDeleted    = 5
	fieldChangeReset      = 6
	fieldChangeTruncated  = 7
	fieldChangeUnreadable = 8
	fieldChangeCaughtUp   = 9
	fieldChangeStarted    = 10
	fieldChangeCursor     = 11
	fieldChangePrevious   = 12
	fieldChangeAttempt    = 13

	idSize     = 1 + 1 + len(msg.ID{})
	keySize    = 3 * idSize
	cursorSize = 1 + 1 + checkpoint.CursorSize
)

// uintSize is the size of a number with its tag of one byte; 0 takes no room.
func uintSize(n uint64) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(n)
}

func appendUint(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendLength(b []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(n))
}

func eventSize(e *msg.Event) int {
	n := uintSize(e.EventSeq) + uintSize(e.ClientSeq) + uintSize(e.Timestamp) + uintSize(e.Major) + uintSize(e.Minor)
	if e.EventID.Set {
		n += idSize
	}
	if e.IV.Set {
		n += 1 + protowire.SizeBytes(len(msg.IV{}))
	}
	if len(e.Value) > 0 {
		n += 1 + protowire.SizeBytes(len(e.Value))
	}
	return n
}

// BatchSize is the size of an encoded batch.
func BatchSize(b *msg.Batch) int {
	n := uintSize(b.Version) + idSize + uintSize(b.ServerTimestamp)
	if b.UserID.Set {
		n += idSize
	}
	for i := range b.Events {
		n += 1 + protowire.SizeBytes(eventSize(&b.Events[i]))
	}
	return n
}

// AppendBatch appends an encoded batch.
func AppendBatch(b []byte, batch *msg.Batch) []byte {
	b = appendUint(b, 1, batch.Version)
	b = appendBytes(b, 2, batch.ClientID[:])
	if batch.UserID.Set {
		b = appendBytes(b, 3, batch.UserID.Value[:])
	}
	b = appendUint(b, 4, batch.ServerTimestamp)
	for i := range batch.Events {
		e := &batch.Events[i]
		b = appendLength(b, 5, eventSize(e))
		b = appendEvent(b, e)
	}
	return b
}

func appendEvent(b []byte, e *msg.Event) []byte {
	b = appendUint(b, 1, e.EventSeq)
	b = appendUint(b, 2, e.ClientSeq)
	if e.EventID.Set {
		b = appendBytes(b, 3, e.EventID.Value[:])
	}
	b = appendUint(b, 4, e.Timestamp)
	b = appendUint(b, 5, e.Major)
	b = appendUint(b, 6, e.Minor)
	if e.IV.Set {
		b = appendBytes(b, 7, e.IV.Value[:])
	}
	if len(e.Value) > 0 {
		b = appendBytes(b, 8, e.Value)
	}
	return b
}

// Delivery is a change as it is sent.
type Delivery struct {
	Change *stream.Change
	// Previous is the position the change follows.
	Previous checkpoint.Cursor
	// Started says that the change sets a first position and nothing else.
	Started bool
	// Attempt counts the earlier attempts at the change.
	Attempt uint32
	// batch is the size of the encoded batch, body of the whole change.
	batch, body int
}

// Size measures the delivery and returns its size in a message. Size must be
// called before Append.
func (d *Delivery) Size() int {
	c := d.Change
	n := uintSize(uint64(c.Partition))
	if c.Kind != stream.CaughtUp {
		n += 1 + protowire.SizeBytes(keySize)
	}
	switch {
	case d.Started:
		n += 1 + protowire.SizeBytes(uintSize(c.Cursor.Version))
	case c.Kind == stream.Batch:
		d.batch = BatchSize(&c.Batch)
		n += 1 + protowire.SizeBytes(d.batch)
	case c.Kind == stream.Truncated:
		n += 1 + protowire.SizeBytes(uintSize(c.From)+uintSize(c.To)+unhandledSize(c))
	case c.Kind == stream.Unreadable:
		n += 1 + protowire.SizeBytes(uintSize(c.Version))
	case c.Kind == stream.CaughtUp:
		n += 1 + protowire.SizeBytes(0)
	default:
		n += 1 + protowire.SizeBytes(unhandledSize(c))
	}
	d.body = n + d.positionsSize()
	return 1 + protowire.SizeBytes(d.body)
}

// BatchSize is the size of the encoded batch, known after Size.
func (d *Delivery) BatchSize() int { return d.batch }

func positionSize(c checkpoint.Cursor) int {
	if c.IsZero() {
		return 0
	}
	return cursorSize
}

func appendPosition(b []byte, field protowire.Number, c checkpoint.Cursor) []byte {
	if c.IsZero() {
		return b
	}
	b = appendLength(b, field, checkpoint.CursorSize)
	b, _ = c.AppendBinary(b) // never fails
	return b
}

// positionsSize is the size of what appendPositions appends.
func (d *Delivery) positionsSize() int {
	return positionSize(d.Change.Cursor) + positionSize(d.Previous) + uintSize(uint64(d.Attempt))
}

func (d *Delivery) appendPositions(b []byte) []byte {
	b = appendPosition(b, fieldChangeCursor, d.Change.Cursor)
	b = appendPosition(b, fieldChangePrevious, d.Previous)
	return appendUint(b, fieldChangeAttempt, uint64(d.Attempt))
}

func appendKey(b []byte, k *msg.Key) []byte {
	b = appendLength(b, fieldChangeKey, keySize)
	b = appendBytes(b, 1, k.Org[:])
	b = appendBytes(b, 2, k.Type[:])
	return appendBytes(b, 3, k.Aggregate[:])
}

// Append appends the delivery as an element of Changes.changes.
func (d *Delivery) Append(b []byte) []byte {
	c := d.Change
	b = appendLength(b, fieldChangesChange, d.body)
	if c.Kind != stream.CaughtUp {
		b = appendKey(b, &c.Key)
	}
	b = appendUint(b, fieldChangePartition, uint64(c.Partition))
	switch {
	case d.Started:
		b = appendLength(b, fieldChangeStarted, uintSize(c.Cursor.Version))
		b = appendUint(b, 1, c.Cursor.Version)
	case c.Kind == stream.Batch:
		b = appendLength(b, fieldChangeBatch, d.batch)
		b = AppendBatch(b, &c.Batch)
	case c.Kind == stream.Deleted:
		b = appendLength(b, fieldChangeDeleted, unhandledSize(c))
		b = appendUnhandled(b, 1, c)
	case c.Kind == stream.Reset:
		b = appendLength(b, fieldChangeReset, unhandledSize(c))
		b = appendUnhandled(b, 1, c)
	case c.Kind == stream.Truncated:
		b = appendLength(b, fieldChangeTruncated, uintSize(c.From)+uintSize(c.To)+unhandledSize(c))
		b = appendUint(b, 1, c.From)
		b = appendUint(b, 2, c.To)
		b = appendUnhandled(b, 3, c)
	case c.Kind == stream.Unreadable:
		b = appendLength(b, fieldChangeUnreadable, uintSize(c.Version))
		b = appendUint(b, 1, c.Version)
	case c.Kind == stream.CaughtUp:
		b = appendLength(b, fieldChangeCaughtUp, 0)
	}
	return d.appendPositions(b)
}

// ResponseSize is the size of the SubscribeResponse whose changes take n bytes.
func ResponseSize(first uint64, n int) int {
	return 1 + protowire.SizeBytes(uintSize(first)+n)
}

// AppendResponse appends the head of a SubscribeResponse whose changes, n bytes,
// must follow.
func AppendResponse(b []byte, first uint64, n int) []byte {
	b = appendLength(b, fieldResponseChanges, uintSize(first)+n)
	return appendUint(b, fieldChangesFirst, first)
}

// MaxOverhead bounds what a message needs beside the bytes of one part.
const MaxOverhead = 512

// AppendPart appends a whole SubscribeResponse that carries a part of an encoded
// batch; the last part carries the cursors.
func (d *Delivery) AppendPart(b []byte, number uint64, data []byte, last bool) []byte {
	c := d.Change
	part := 1 + protowire.SizeBytes(len(data))
	if last {
		part += 2
	}
	body := 1 + protowire.SizeBytes(keySize) + uintSize(uint64(c.Partition)) + 1 + protowire.SizeBytes(part)
	if last {
		body += d.positionsSize()
	}
	b = AppendResponse(b, number, 1+protowire.SizeBytes(body))
	b = appendLength(b, fieldChangesChange, body)
	b = appendKey(b, &c.Key)
	b = appendUint(b, fieldChangePartition, uint64(c.Partition))
	b = appendLength(b, fieldChangePart, part)
	b = appendBytes(b, 1, data)
	if !last {
		return b
	}
	b = appendUint(b, 2, 1)
	return d.appendPositions(b)
}
