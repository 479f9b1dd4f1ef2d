package convert_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

func drawID(t *rapid.T, name string) msg.ID {
	return msg.IDFromUint64s(rapid.Uint64().Draw(t, name), rapid.Uint64().Draw(t, name))
}

func drawOptionalID(t *rapid.T, name string) msg.Opt[msg.ID] {
	if !rapid.Bool().Draw(t, name) {
		return msg.None[msg.ID]()
	}
	return msg.Some(drawID(t, name))
}

func drawCursor(t *rapid.T, name string) checkpoint.Cursor {
	if rapid.Bool().Draw(t, name) {
		return checkpoint.Cursor{}
	}
	return checkpoint.Cursor{
		Life: rapid.Uint64Range(0, 1<<63-1).Draw(t, name), Version: rapid.Uint64Range(1, 1<<63-1).Draw(t, name),
		Deleted: rapid.Bool().Draw(t, name), Anchor: checkpoint.Anchor{Hash: rapid.Uint64().Draw(t, name), ClientID: drawID(t, name)},
	}
}

func drawBatch(t *rapid.T) msg.Batch {
	b := msg.Batch{
		Version: rapid.Uint64().Draw(t, "version"), ClientID: drawID(t, "client"), UserID: drawOptionalID(t, "user"),
		ServerTimestamp: rapid.Uint64().Draw(t, "server"), Events: make([]msg.Event, rapid.IntRange(0, 3).Draw(t, "events")),
	}
	for i := range b.Events {
		b.Events[i] = msg.Event{
			EventSeq: rapid.Uint64().Draw(t, "seq"), ClientSeq: rapid.Uint64().Draw(t, "clientseq"), EventID: drawOptionalID(t, "id"),
			Timestamp: rapid.Uint64().Draw(t, "time"), Major: rapid.Uint64().Draw(t, "major"), Minor: rapid.Uint64().Draw(t, "minor"),
			Value: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value"),
		}
		if rapid.Bool().Draw(t, "iv") {
			b.Events[i].IV = msg.Some(msg.IV{1, 2, 3})
		}
	}
	return b
}

func drawChange(t *rapid.T) stream.Change {
	c := stream.Change{
		Kind: rapid.SampledFrom([]stream.Kind{stream.Batch, stream.Deleted, stream.Reset, stream.Truncated, stream.Unreadable, stream.CaughtUp}).Draw(t, "kind"),
	}
	if c.Kind == stream.CaughtUp {
		return c
	}
	c.Key = msg.Key{Org: drawID(t, "org"), Type: drawID(t, "type"), Aggregate: drawID(t, "aggregate")}
	c.Partition = rapid.Uint32().Draw(t, "partition")
	switch c.Kind {
	case stream.Batch:
		c.Batch = drawBatch(t)
	case stream.Truncated:
		c.From, c.To = rapid.Uint64().Draw(t, "from"), rapid.Uint64().Draw(t, "to")
	case stream.Unreadable:
		c.Version = rapid.Uint64().Draw(t, "unreadable")
		return c
	}
	if c.Kind != stream.Batch && rapid.Bool().Draw(t, "unhandled") {
		c.Unhandled = stream.Versions{From: 3, To: rapid.Uint64Range(3, 1<<40).Draw(t, "unhandled to")}
	}
	c.Cursor, c.Previous = drawCursor(t, "cursor"), drawCursor(t, "previous")
	return c
}

// The encoding by hand is that of the generated code, and as long as it
// was measured.
func TestAppendedChangesAreMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := make([]stream.Change, rapid.IntRange(1, 3).Draw(t, "changes"))
		deliveries := make([]convert.Delivery, len(changes))
		size := 0
		for i := range changes {
			changes[i] = drawChange(t)
			deliveries[i] = convert.Delivery{Change: &changes[i], Previous: changes[i].Previous, Attempt: rapid.Uint32().Draw(t, "attempt")}
			size += deliveries[i].Size()
		}
		first := rapid.Uint64Range(1, 1<<63).Draw(t, "first")
		b := convert.AppendResponse(nil, first, size)
		for i := range deliveries {
			b = deliveries[i].Append(b)
		}
		if len(b) != convert.ResponseSize(first, size) {
			t.Fatalf("%d bytes, measured %d", len(b), convert.ResponseSize(first, size))
		}
		var r pb.SubscribeResponse
		if err := proto.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		if n := proto.Size(&r); n != len(b) || len(r.ProtoReflect().GetUnknown()) > 0 {
			t.Fatalf("the generated code makes %d bytes of it, there are %d", n, len(b))
		}
		if r.GetChanges().FirstDelivery != first {
			t.Fatalf("first delivery %d, want %d", r.GetChanges().FirstDelivery, first)
		}
		for i, m := range r.GetChanges().Changes {
			got, err := convert.Change(m)
			if err != nil {
				t.Fatal(err)
			}
			sameChange(t, &got, &changes[i])
			if m.Attempt != deliveries[i].Attempt {
				t.Fatalf("attempt %d, want %d", m.Attempt, deliveries[i].Attempt)
			}
		}
	})
}

func TestPartsJoinToTheBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChange(t)
		c = stream.Change{Kind: stream.Batch, Key: c.Key, Batch: drawBatch(t), Cursor: c.Cursor, Previous: c.Previous, Partition: c.Partition}
		d := convert.Delivery{Change: &c, Previous: c.Previous}
		d.Size()
		whole := convert.AppendBatch(nil, &c.Batch)
		if len(whole) != d.BatchSize() {
			t.Fatalf("%d bytes, measured %d", len(whole), d.BatchSize())
		}
		length := rapid.IntRange(1, 100).Draw(t, "length")
		var joined []byte
		for at := 0; ; at += length {
			last := at+length >= len(whole)
			piece := whole[at:min(at+length, len(whole))]
			b := d.AppendPart(nil, 7, piece, last)
			if len(b) > len(piece)+convert.MaxOverhead {
				t.Fatalf("a part of %d bytes takes %d", len(piece), len(b))
			}
			var r pb.SubscribeResponse
			if err := proto.Unmarshal(b, &r); err != nil || proto.Size(&r) != len(b) {
				t.Fatal(err, proto.Size(&r), len(b))
			}
			m := r.GetChanges().Changes[0]
			if m.GetPart().Last != last || r.GetChanges().FirstDelivery != 7 {
				t.Fatalf("part %v", m)
			}
			joined = append(joined, m.GetPart().Data...)
			if !last {
				continue
			}
			var batch pb.Batch
			if err := proto.Unmarshal(joined, &batch); err != nil {
				t.Fatal(err)
			}
			m.Kind = &pb.Change_Batch{Batch: &batch}
			got, err := convert.Change(m)
			if err != nil {
				t.Fatal(err)
			}
			sameChange(t, &got, &c)
			return
		}
	})
}

func sameChange(t *rapid.T, got, want *stream.Change) {
	t.Helper()
	g, w := *got, *want
	if checkpoint.AnchorOf(&g.Batch) != checkpoint.AnchorOf(&w.Batch) {
		t.Fatalf("batch %v, want %v", g.Batch, w.Batch)
	}
	g.Batch, w.Batch = msg.Batch{}, msg.Batch{}
	if g.String() != w.String() || g.Cursor != w.Cursor || g.Previous != w.Previous || g.Partition != w.Partition ||
		g.From != w.From || g.To != w.To || g.Version != w.Version || g.Unhandled != w.Unhandled {
		t.Fatalf("change %+v, want %+v", g, w)
	}
}
