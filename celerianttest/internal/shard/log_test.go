package shard_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// eventful runs every kind of mutation through a shard and leaves all committed.
func eventful(t testing.TB, o shard.Options) *node {
	n := newNode(t, o)
	n.add(1, 1, 2)
	n.add(1, 3)
	n.do(n.trim(1, 2))
	_, no := n.write(msg.AggregateWrite{Key: key(2), Events: []msg.Event{
		{ClientSeq: ^uint64(0), Major: 3, Minor: 4, EventID: msg.Some(id(5)), IV: msg.Some(msg.IV{9}), Value: []byte{0xff}},
	}}, msg.AggregateWrite{Key: key(3), Events: events(1)})
	n.do(no)
	n.do(n.deleteAll(msg.AggregateDelete{Key: key(1), AllowRecreate: true},
		msg.AggregateDelete{Key: key(3), AllowRecreate: true, AllowSequenceContinuation: true}))
	n.add(1, 9)
	n.add(1, 10)
	n.add(3, 2)
	n.clock++
	_, no = n.RegisterSchema(&msg.RegisterSchemaRequest{ClientID: id(1), Key: msg.SchemaKey{Org: id(1), Type: id(2), Major: 50}, Schema: `{"type":"object"}`}, n.clock)
	n.do(no)
	n.Commit(n.Tail())
	return n
}

// everything shows all that can be asked of a shard.
func (n *node) everything(t *testing.T) string {
	text := strings.Join(n.list(t), "|")
	for aggregate := range uint64(5) {
		text += fmt.Sprintf("\n%d: %s, %s, %s", aggregate, n.state(aggregate), n.readFrom(aggregate, 1), n.readFrom(aggregate, 2))
	}
	return text
}

// Applying a shard's records to another gives the same answers, on both sides.
func TestApply(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		o := shard.Options{Quirks: quirks, Validators: map[msg.SchemaType]shard.SchemaCompiler{msg.SchemaJSON: tinyJSONSchema{}}}
		from := eventful(t, o)
		to := newNode(t, o)
		to.clock = from.clock
		for _, r := range from.Records(0, 0) {
			if err := to.Apply(r); err != nil {
				t.Fatal(err)
			}
		}
		if to.Tail() != from.Tail() || to.Committed() != 0 {
			t.Fatalf("tail %d, committed %d", to.Tail(), to.Committed())
		}
		expect(t, "hidden", to.readFrom(1, 1), `1001 {}`)
		to.Commit(to.Tail())
		expect(t, "read side", to.everything(t), from.everything(t))
		bad := msg.AggregateWrite{Key: key(1), Events: []msg.Event{{ClientSeq: 1, Major: 50, Value: []byte("[]")}}, DenyCreate: true}
		for _, n := range []*node{from, to} {
			_, no := n.write(bad)
			expect(t, "schema", onWire(no), `2022 {"event_type_major":50,"event_type_minor":0,"client_seq":1,"validation_error":"[] is not of type \"object\""}`)
			_, no = n.write(msg.AggregateWrite{Key: key(1), Events: events(10), EnforceIdempotency: true, DenyCreate: true})
			expect(t, "floor", onWire(no), `2002 {"last_client_seq":10,"attempted_client_seq":10}`)
			n.add(1, 20)
			n.add(3, 20)
		}
		expect(t, "write side", to.everything(t), from.everything(t))
	})
}

// A follower's duplicate in flight stays so after it leads.
func TestAppliedIsInFlight(t *testing.T) {
	from, to := shard.New(shard.Options{}), shard.New(shard.Options{})
	req := &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: key(1), Events: events(1), EnforceIdempotency: true}}}
	if _, no := from.Write(req, 1); no != nil {
		t.Fatal(no)
	}
	if err := to.Apply(from.Records(0, 0)[0]); err != nil {
		t.Fatal(err)
	}
	_, no := to.Write(req, 2)
	expect(t, "duplicate", onWire(no), `2013 {"last_client_seq":1,"attempted_client_seq":1}`)
}

func TestRecordsSince(t *testing.T) {
	n := eventful(t, shard.Options{})
	all := n.Records(0, 0)
	for _, tt := range []struct {
		after uint64
		limit int
		want  []*shard.Record
	}{
		{0, 3, all[:3]}, {2, 0, all[2:]}, {2, 2, all[2:4]}, {n.Tail() - 1, 99, all[len(all)-1:]}, {n.Tail(), 0, nil}, {n.Tail() + 5, 1, nil},
	} {
		if got := n.Records(tt.after, tt.limit); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("after %d, at most %d: %d records, want %d", tt.after, tt.limit, len(got), len(tt.want))
		}
	}
}

// Discarded records leave no trace: numbers, floors, guards, schemas are
// those of before, whatever kinds of records the tail holds.
func TestTruncate(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		full := eventful(t, shard.Options{Quirks: quirks})
		records := full.Records(0, 0)
		for keep := range len(records) {
			short, want := newNode(t, shard.Options{Quirks: quirks}), newNode(t, shard.Options{Quirks: quirks})
			for i, r := range records {
				if err := short.Apply(r); err != nil {
					t.Fatal(err)
				}
				if i < keep {
					if err := want.Apply(r); err != nil {
						t.Fatal(err)
					}
				}
			}
			handed := short.Records(0, 0)
			if err := short.TruncateTo(uint64(keep)); err != nil {
				t.Fatal(err)
			}
			for _, n := range []*node{short, want} { // the write side decides again
				for aggregate := uint64(1); aggregate <= 3; aggregate++ {
					n.delete(aggregate, true, true)
					n.add(aggregate, 1)
					n.write(msg.AggregateWrite{Key: key(aggregate), Events: events(3), EnforceIdempotency: true})
					n.trim(aggregate, 2)
				}
				_, no := n.RegisterSchema(&msg.RegisterSchemaRequest{Key: msg.SchemaKey{Org: id(1), Type: id(2), Major: 50}}, 1)
				n.do(no)
				n.Commit(n.Tail())
			}
			if short.Tail() != want.Tail() {
				t.Fatalf("kept %d: tail %d, want %d", keep, short.Tail(), want.Tail())
			}
			expect(t, fmt.Sprintf("kept %d", keep), short.everything(t), want.everything(t))
			if !reflect.DeepEqual(handed, records) {
				t.Errorf("kept %d: records handed out before changed", keep)
			}
		}
	})
}

// A floor set by a discarded write is gone with it, on an aggregate that stays.
func TestTruncateFloor(t *testing.T) {
	n := newNode(t, shard.Options{})
	n.add(1, 1)
	req := &msg.WriteRequest{ClientID: id(99), Writes: []msg.AggregateWrite{{Key: key(1), Events: events(5), EnforceIdempotency: true, DenyCreate: true}}}
	for range 2 {
		if _, no := n.Write(req, 1); no != nil {
			t.Fatalf("%v", no)
		}
		if err := n.TruncateTo(1); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTruncateKeepsTheCommitted(t *testing.T) {
	n := eventful(t, shard.Options{})
	if err := n.TruncateTo(n.Tail() - 1); err == nil {
		t.Error("a committed record was discarded")
	}
	if err := n.TruncateTo(n.Tail() + 1); err != nil {
		t.Errorf("beyond the tail there is nothing to discard: %v", err)
	}
}

// A record that contradicts the log is refused and changes nothing.
func TestApplyRefuses(t *testing.T) {
	batch := func(aggregate, version uint64) shard.WriteEntry {
		return shard.WriteEntry{Key: key(aggregate), Batch: msg.Batch{Version: version, Events: events(1)}, MaxVersion: max(version, 9), MaxEventSeq: 9, MinVersion: 1}
	}
	write := func(e ...shard.WriteEntry) *shard.Record { return &shard.Record{Kind: shard.RecordWrite, Writes: e} }
	remove := func(keys ...uint64) *shard.Record {
		r := &shard.Record{Kind: shard.RecordDelete}
		for _, k := range keys {
			r.Deletes = append(r.Deletes, shard.DeleteEntry{Key: key(k), AllowRecreate: true})
		}
		return r
	}
	trim := func(k uint64) *shard.Record {
		return &shard.Record{Kind: shard.RecordTrim, Trim: shard.TrimEntry{Key: key(k), KeepFrom: 2}}
	}
	outside, early, empty := batch(1, 5), batch(1, 5), batch(1, 5)
	outside.MaxVersion, early.MinVersion, empty.Batch.Events = 4, 0, nil
	n := populated(t, false) // 1 live at 2, 2 deleted for good, 3 deleted, fresh next
	schema := &shard.Record{Kind: shard.RecordSchema, Schema: shard.SchemaEntry{Key: msg.SchemaKey{Major: 1}}}
	if err := n.Apply(schema); err != nil {
		t.Fatal(err)
	}
	before := n.Tail()
	for name, r := range map[string]*shard.Record{
		"no kind":               {},
		"no batch":              write(),
		"first not 1":           write(batch(9, 2)),
		"repeated version":      write(batch(1, 2)),
		"version back to 1":     write(batch(1, 1)),
		"fresh not 1":           write(batch(3, 3)),
		"deleted for good":      write(batch(2, 2)),
		"twice in one":          write(batch(1, 3), batch(1, 4)),
		"one of two":            write(batch(1, 3), batch(9, 2)),
		"above its own maximum": write(outside),
		"no floor":              write(early),
		"no events":             write(empty),
		"delete nothing":        remove(),
		"delete a missing one":  remove(9),
		"delete a deleted one":  remove(3),
		"delete twice":          remove(1, 1),
		"trim a missing one":    trim(9),
		"trim a deleted one":    trim(2),
		"schema twice":          schema,
	} {
		if err := n.Apply(r); err == nil {
			t.Errorf("%s: applied", name)
		}
		if n.Tail() != before {
			t.Fatalf("%s: appended", name)
		}
	}
	if err := n.Apply(write(batch(1, 7))); err != nil {
		t.Errorf("a gap is no contradiction: %v", err)
	}
}
