package checkpoint_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/zeebo/xxh3"
)

func sample() msg.Batch {
	return msg.Batch{
		Version:         7,
		ClientID:        msg.IDFromUint64s(1, 2),
		UserID:          msg.Some(msg.IDFromUint64(3)),
		ServerTimestamp: 1_700_000_000_123,
		Events: []msg.Event{
			{ClientSeq: 4, EventSeq: 10, EventID: msg.Some(msg.IDFromUint64s(5, 6)), Timestamp: 7, Major: 8, Minor: 9, Value: []byte("payload")},
			{ClientSeq: 5, EventSeq: 11, Timestamp: 7, Major: 1, Value: nil, IV: msg.Some(msg.IV{1, 2, 3})},
		},
	}
}

// Anchors are stored for years. If this test fails, the code is wrong, not the
// numbers.
func TestAnchorIsStable(t *testing.T) {
	long := sample()
	long.Events[0].Value = bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for _, c := range []struct {
		name  string
		batch msg.Batch
		hash  uint64
	}{
		{"empty", msg.Batch{}, 0xb04859b19481d612},
		{"sample", sample(), 0xb94cdc2ed05ea195},
		{"long payload", long, 0x1b0c560828916699},
	} {
		got := checkpoint.AnchorOf(&c.batch)
		want := checkpoint.Anchor{ServerTimestamp: c.batch.ServerTimestamp, EventSeq: c.batch.LastEventSeq(), ClientID: c.batch.ClientID, Hash: c.hash}
		if got != want {
			t.Errorf("%s: %+v, want %+v (hash %#x)", c.name, got, want, got.Hash)
		}
	}
}

// Each change of content must show, those that only move a boundary too.
//
//covers:g6
func TestAnchorSeesEveryField(t *testing.T) {
	changes := map[string]func(*msg.Batch){
		"version":          func(b *msg.Batch) { b.Version++ },
		"user":             func(b *msg.Batch) { b.UserID.Value[15]++ },
		"no user":          func(b *msg.Batch) { b.UserID = msg.None[msg.ID]() },
		"zero user":        func(b *msg.Batch) { b.UserID = msg.Some(msg.ID{}) },
		"client sequence":  func(b *msg.Batch) { b.Events[0].ClientSeq++ },
		"event sequence":   func(b *msg.Batch) { b.Events[0].EventSeq++ },
		"event id":         func(b *msg.Batch) { b.Events[0].EventID.Value[0]++ },
		"no event id":      func(b *msg.Batch) { b.Events[0].EventID = msg.None[msg.ID]() },
		"zero event id":    func(b *msg.Batch) { b.Events[1].EventID = msg.Some(msg.ID{}) },
		"event timestamp":  func(b *msg.Batch) { b.Events[0].Timestamp++ },
		"major type":       func(b *msg.Batch) { b.Events[0].Major++ },
		"minor type":       func(b *msg.Batch) { b.Events[0].Minor++ },
		"payload":          func(b *msg.Batch) { b.Events[0].Value = []byte("pAyload") },
		"shorter payload":  func(b *msg.Batch) { b.Events[0].Value = []byte("payloa") },
		"zero-padded":      func(b *msg.Batch) { b.Events[0].Value = []byte("payload\x00") },
		"IV":               func(b *msg.Batch) { b.Events[1].IV.Value[11]++ },
		"no IV":            func(b *msg.Batch) { b.Events[1].IV = msg.None[msg.IV]() },
		"zero IV":          func(b *msg.Batch) { b.Events[0].IV = msg.Some(msg.IV{}) },
		"one event less":   func(b *msg.Batch) { b.Events = b.Events[:1] },
		"events exchanged": func(b *msg.Batch) { b.Events[0], b.Events[1] = b.Events[1], b.Events[0] },
		"payload moved":    func(b *msg.Batch) { b.Events[0].Value, b.Events[1].Value = nil, []byte("payload") },
		"types exchanged":  func(b *msg.Batch) { e := &b.Events[0]; e.Major, e.Minor = e.Minor, e.Major },
		"server timestamp": func(b *msg.Batch) { b.ServerTimestamp++ },
		"client":           func(b *msg.Batch) { b.ClientID[3]++ },
	}
	seen := map[checkpoint.Anchor]string{}
	original := sample()
	seen[checkpoint.AnchorOf(&original)] = "the original"
	for name, change := range changes {
		b := sample()
		change(&b)
		a := checkpoint.AnchorOf(&b)
		if other, again := seen[a]; again {
			t.Errorf("%s has the anchor of %s", name, other)
		}
		seen[a] = name
	}
}

// However long a batch is, and however it is gone through, its hash is that of
// the encoding described.
func TestAnchorAtEveryLength(t *testing.T) {
	b := sample()
	b.Events = append(b.Events, b.Events[0])
	payload := make([]byte, 2500)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	for n := range payload {
		b.Events[1].Value = payload[:n]
		if got, want := checkpoint.AnchorOf(&b).Hash, xxh3.Hash(encoded(&b)); got != want {
			t.Fatalf("with a payload of %d bytes: %#x, want %#x", n, got, want)
		}
	}
}

func encoded(b *msg.Batch) (p []byte) {
	number := binary.LittleEndian.AppendUint64
	optional := func(set bool, value []byte) {
		if !set {
			value = make([]byte, len(value))
			p = append(p, 0)
		} else {
			p = append(p, 1)
		}
		p = append(p, value...)
	}
	p = number(p, b.Version)
	optional(b.UserID.Set, b.UserID.Value[:])
	p = number(p, uint64(len(b.Events)))
	for _, e := range b.Events {
		p = number(number(p, e.ClientSeq), e.EventSeq)
		optional(e.EventID.Set, e.EventID.Value[:])
		p = number(number(number(p, e.Timestamp), e.Major), e.Minor)
		optional(e.IV.Set, e.IV.Value[:])
		p = append(number(p, uint64(len(e.Value))), e.Value...)
	}
	return p
}

// The content of an absent value does not matter, nor whether an empty payload is nil.
func TestAnchorIgnoresWhatIsAbsent(t *testing.T) {
	a, b := sample(), sample()
	a.Events[1].EventID = msg.Opt[msg.ID]{Value: msg.IDFromUint64(99)}
	a.Events[0].IV = msg.Opt[msg.IV]{Value: msg.IV{9}}
	a.Events[1].Value = []byte{}
	if checkpoint.AnchorOf(&a) != checkpoint.AnchorOf(&b) {
		t.Error("absent values took part")
	}
}

func TestAnchorDoesNotAllocate(t *testing.T) {
	b := sample()
	if n := testing.AllocsPerRun(100, func() { checkpoint.AnchorOf(&b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAnchorOf(b *testing.B) {
	batch := msg.Batch{Version: 1, Events: make([]msg.Event, 10)}
	for i := range batch.Events {
		batch.Events[i].Value = make([]byte, 200)
	}
	b.ReportAllocs()
	b.SetBytes(2000)
	for b.Loop() {
		checkpoint.AnchorOf(&batch)
	}
}
