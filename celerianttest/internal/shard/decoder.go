package shard

import (
	"encoding/binary"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// decoder reads a record's body. After the first error everything reads as
// zero and the error stays.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	d.rest = nil
}

func (d *decoder) bytes(n uint64) []byte {
	if uint64(len(d.rest)) < n {
		d.fail("body too short")
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) flag() bool {
	switch d.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	d.fail("flag is neither 0 nor 1")
	return false
}

// uint accepts the shortest form only, so that a record has one stored form.
func (d *decoder) uint() uint64 {
	n, used := binary.Uvarint(d.rest)
	if used <= 0 || (used > 1 && d.rest[used-1] == 0) {
		d.fail("number malformed")
		return 0
	}
	d.rest = d.rest[used:]
	return n
}

// count reads the number of items that take at least size bytes each, bounded
// by what is left, before anything is allocated for them.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.rest)/size) {
		d.fail("more items than bytes")
		return 0
	}
	return int(n)
}

func (d *decoder) id() (id msg.ID) {
	copy(id[:], d.bytes(uint64(len(id))))
	return id
}

func (d *decoder) optID() msg.Opt[msg.ID] {
	if !d.flag() {
		return msg.None[msg.ID]()
	}
	return msg.Some(d.id())
}

func (d *decoder) key() msg.Key { return msg.Key{Org: d.id(), Type: d.id(), Aggregate: d.id()} }

func (d *decoder) record() *Record {
	r := &Record{Kind: RecordKind(d.byte()), Time: d.uint(), ClientID: d.id(), UserID: d.optID()}
	switch r.Kind {
	case RecordWrite:
		r.Writes = make([]WriteEntry, d.count(minWrite))
		for i := range r.Writes {
			d.write(r, &r.Writes[i])
		}
	case RecordDelete:
		r.Deletes = make([]DeleteEntry, d.count(minDelete))
		for i := range r.Deletes {
			d.delete(&r.Deletes[i])
		}
	case RecordTrim:
		r.Trim = TrimEntry{Key: d.key(), KeepFrom: d.uint(), MaxVersion: d.uint(), MaxEventSeq: d.uint()}
	case RecordSchema:
		r.Schema.Key = msg.SchemaKey{Org: d.id(), Type: d.id(), Major: d.uint(), Minor: d.uint()}
		r.Schema.Type = msg.SchemaType(d.byte())
		r.Schema.Text = string(d.bytes(d.uint()))
	default:
		d.fail(fmt.Sprintf("unknown kind %d", r.Kind))
	}
	return r
}

// The fewest bytes of an entry and an event, to bound counts.
const (
	minWrite  = 48 + 5
	minDelete = 48 + 3
	minEvent  = 5 + 1 + 1 + 1
)

func (d *decoder) write(r *Record, e *WriteEntry) {
	e.Key = d.key()
	e.Batch = msg.Batch{Version: d.uint(), ClientID: r.ClientID, UserID: r.UserID, ServerTimestamp: r.Time}
	e.MaxVersion, e.MaxEventSeq, e.MinVersion = d.uint(), d.uint(), d.uint()
	e.Batch.Events = make([]msg.Event, d.count(minEvent))
	for i := range e.Batch.Events {
		d.event(&e.Batch.Events[i])
	}
	e.measure()
}

func (d *decoder) event(e *msg.Event) {
	e.ClientSeq, e.EventSeq, e.Timestamp, e.Major, e.Minor = d.uint(), d.uint(), d.uint(), d.uint(), d.uint()
	e.EventID = d.optID()
	if d.flag() {
		iv := msg.IV{}
		copy(iv[:], d.bytes(uint64(len(iv))))
		e.IV = msg.Some(iv)
	}
	e.Value = d.bytes(d.uint())
}

func (d *decoder) delete(e *DeleteEntry) {
	e.Key = d.key()
	flags := d.byte()
	if flags > 3 {
		d.fail("delete flags")
	}
	e.AllowRecreate, e.AllowSequenceContinuation = flags&1 != 0, flags&2 != 0
	e.MaxVersion, e.MaxEventSeq = d.uint(), d.uint()
}
