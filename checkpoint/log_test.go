package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// ownRecord and moveRecord are records as the log has them.
func ownRecord(number uint64, name string, o Ownership) []byte {
	return appendChange(nil, number, change{name: name, own: &o})
}

func moveRecord(number uint64, name string, entries []Entry) []byte {
	return appendChange(nil, number, change{name: name, Outcome: Outcome{Moved: entries}})
}

// FuzzReplay opens logs made of anything: no panic, no memory beyond their
// size, and what is accepted is written back the same.
func FuzzReplay(f *testing.F) {
	own := ownRecord(1, "orders", Ownership{Epoch: 1, Token: Token{7}, Claimed: true, Scope: "all"})
	move := moveRecord(2, "orders", []Entry{{Cursor: Cursor{Version: 1}}})
	header := appendHeader(nil)
	f.Add(header)
	f.Add(bytes.Join([][]byte{header, own, move}, nil))
	f.Add(bytes.Join([][]byte{header, own, move[:30]}, nil))
	f.Add(bytes.Join([][]byte{header, own, ownRecord(2, "orders", Ownership{Epoch: 2})}, nil))
	f.Add(bytes.Join([][]byte{header, own[:25], move}, nil))
	f.Fuzz(func(t *testing.T, log []byte) {
		x := newIndex()
		h := &handle{newPlatter(), &sheet{content: log}}
		r, err := replay(context.Background(), h, "log", x.replay)
		var damaged *DamagedError
		var version *VersionError
		if err != nil {
			if !errors.As(err, &damaged) && !errors.As(err, &version) {
				t.Fatalf("%v is no way to say that a log is bad", err)
			}
			return
		}
		if r.end < headerSize || r.end > int64(len(log)) {
			t.Fatalf("a log of %d bytes ends at %d", len(log), r.end)
		}
		again := newIndex()
		h.content = log[:r.end]
		if cut, err := replay(context.Background(), h, "log", again.replay); err != nil || cut != r {
			t.Fatalf("cut to %d it ends as %+v, %v", r.end, cut, err)
		}
	})
}

// FuzzBody reads bodies whose checksums are right. Bodies of this format
// are written back the same.
func FuzzBody(f *testing.F) {
	o := Ownership{Epoch: 1, Token: Token{1, 2}, Claimed: true, Scope: "all"}
	f.Add(ownRecord(1, "orders", o)[frameSize:])
	f.Add(appendChange(nil, 1, change{name: "orders", own: &o, rescoped: true})[frameSize:])
	f.Add(moveRecord(1, "orders", []Entry{{Cursor: Cursor{Version: 1}}, {Cursor: Cursor{Deleted: true}}})[frameSize:])
	f.Add(appendChange(nil, 1, change{Outcome: Outcome{Records: []RecordChange{{Key: "a", Value: []byte("1")}, {Key: "b"}}}})[frameSize:])
	f.Add([]byte{kindOwn1, 1, 'a', 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := parseBody(body)
		if err != nil || body[0] == kindOwn1 || body[0] == kindMove1 {
			return
		}
		if back := appendChange(nil, 1, c)[frameSize:]; !bytes.Equal(back, body) {
			t.Fatalf("%x is written back as %x", body, back)
		}
	})
}

// Records that are whole and say what cannot be are damage, at their place.
func TestRecordsThatCannotBe(t *testing.T) {
	good := ownRecord(1, "orders", Ownership{Epoch: 5, Claimed: true})
	cursors := []Entry{{Cursor: Cursor{Version: 1}}}
	raw := func(body ...byte) []byte { return endRecord(append(beginRecord(nil), body...), 0, 2) }
	edited := func(record []byte, at int, to byte) []byte {
		record[frameSize+at] = to
		return endRecord(record, 0, 2)
	}
	record := func(name string) []byte {
		return appendChange(nil, 2, change{name: name, Outcome: Outcome{Records: []RecordChange{{Key: "key", Value: []byte("value")}}}})
	}
	const afterOwn = 3 + 8 // of the one-letter name
	for name, second := range map[string][]byte{
		"an epoch again":              ownRecord(2, "orders", Ownership{Epoch: 5, Claimed: true}),
		"an epoch of before":          ownRecord(2, "orders", Ownership{Epoch: 4, Claimed: true}),
		"cursors of nobody":           moveRecord(2, "others", cursors),
		"records of nobody":           record("others"),
		"cursors of the store":        moveRecord(2, "", cursors),
		"nothing":                     raw(),
		"an unknown kind":             raw(5, 1, 'a'),
		"a name cut short":            raw(kindApply, 9, 'a'),
		"an owner of no name":         raw(kindOwn, 0, 0, 0, 0, 0),
		"an old move of no name":      raw(kindMove1, 0, 0, 0, 0, 0),
		"a claim cut short":           raw(kindOwn, 1, 'a', 1, 2, 3),
		"an unknown flag":             edited(ownRecord(2, "a", Ownership{Epoch: 1}), afterOwn, 4),
		"a deletion of another scope": edited(ownRecord(2, "a", Ownership{Epoch: 1}), afterOwn, flagRescoped),
		"a scope of another length":   edited(ownRecord(2, "a", Ownership{Epoch: 1, Scope: "abc"}), afterOwn+1+16, 2),
		"another count of cursors":    edited(moveRecord(2, "orders", cursors), 8, 2),
		"a count cut short":           raw(kindApply, 1, 'a', 1),
		"a cursor of another version": edited(moveRecord(2, "orders", cursors), 8+4+KeySize, 7),
		"another count of records":    edited(record("orders"), 8+4, 2),
		"a record without a key":      edited(record("orders"), 8+4+4, 0),
	} {
		log := append(appendHeader(nil), good...)
		at := len(log)
		h := &handle{newPlatter(), &sheet{content: append(log, second...)}}
		_, err := replay(t.Context(), h, "log", newIndex().replay)
		var damaged *DamagedError
		if !errors.As(err, &damaged) || damaged.Offset != int64(at) {
			t.Errorf("%s: %v, want damage at %d", name, err, at)
		}
	}
	// Cursors after a deletion.
	log := append(appendHeader(nil), good...)
	log = append(log, ownRecord(2, "orders", Ownership{Epoch: 6})...)
	at := len(log)
	h := &handle{newPlatter(), &sheet{content: append(log, moveRecord(3, "orders", cursors)...)}}
	_, err := replay(t.Context(), h, "log", newIndex().replay)
	var damaged *DamagedError
	if !errors.As(err, &damaged) || damaged.Offset != int64(at) {
		t.Errorf("cursors of a deleted subscription: %v, want damage at %d", err, at)
	}
}

// A whole record behind a broken one is found wherever it lies, also across the
// steps in which the search reads.
func TestDamageFarFromTheNextRecord(t *testing.T) {
	const step = 1 << 18
	own := ownRecord(1, "orders", Ownership{Epoch: 1, Claimed: true})
	for _, gap := range []int{1, frameSize, step - headerSize - frameSize - 5, step - 1, step, step + 1, 2*step - 3, 3 * step} {
		log := append(appendHeader(nil), own...)
		start := len(log)
		log = append(log, make([]byte, gap)...)
		log = append(log, ownRecord(9, "orders", Ownership{Epoch: 2, Claimed: true})...)
		h := &handle{newPlatter(), &sheet{content: log}}
		_, err := replay(t.Context(), h, "log", newIndex().replay)
		var damaged *DamagedError
		if !errors.As(err, &damaged) || damaged.Offset != int64(start) {
			t.Errorf("%d broken bytes before a whole record: %v, want damage at %d", gap, err, start)
		}
	}
}

// The layout is what later releases must read. If this test fails, the code is
// wrong, or needs a new format number and a way to read the old one.
func TestLogFormatIsStable(t *testing.T) {
	o := Ownership{Epoch: 3, Token: Token{1, 2, 3}, Claimed: true, Scope: "all"}
	cursor := Cursor{Life: 1, Version: 2, Anchor: Anchor{ServerTimestamp: 3, EventSeq: 4, ClientID: msg.IDFromUint64(5), Hash: 6}}
	key := msg.Key{Org: msg.IDFromUint64(7), Type: msg.IDFromUint64(8), Aggregate: msg.IDFromUint64(9)}
	log := appendHeader(nil)
	for i, c := range []change{
		{name: "orders", own: &o},
		{name: "orders", Outcome: Outcome{Moved: []Entry{{Key: key, Cursor: cursor}}, Records: []RecordChange{{Key: "a", Value: []byte("1")}, {Key: "b"}}}},
		{Outcome: Outcome{Records: []RecordChange{{Key: "member/1", Value: []byte("{}")}}}},
		{name: "orders", own: &Ownership{Epoch: 4, Claimed: true}, rescoped: true},
		{name: "orders", own: &Ownership{Epoch: 5}},
	} {
		log = appendChange(log, uint64(i+1), c)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "format2.log"))
	if err != nil || !bytes.Equal(log, golden) {
		t.Fatalf("the changes are written as\n%x\nand not as\n%x (%v)", log, golden, err)
	}
}
