package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// FuzzReplay opens logs made of anything: no panic, no memory beyond their
// size, and what is accepted is written back the same.
func FuzzReplay(f *testing.F) {
	own := appendOwn(nil, 1, "orders", ownership{epoch: 1, claimed: true, scope: "all"})
	move := appendMove(nil, 2, "orders", []Entry{{Cursor: Cursor{Version: 1}}})
	header := appendHeader(nil)
	f.Add(header)
	f.Add(bytes.Join([][]byte{header, own, move}, nil))
	f.Add(bytes.Join([][]byte{header, own, move[:30]}, nil))
	f.Add(bytes.Join([][]byte{header, own, appendOwn(nil, 2, "orders", ownership{epoch: 2})}, nil))
	f.Add(bytes.Join([][]byte{header, own[:25], move}, nil))
	f.Fuzz(func(t *testing.T, log []byte) {
		x := newIndex()
		h := &handle{newPlatter(), &sheet{content: log}}
		end, last, err := replay(context.Background(), h, "log", x.replay)
		var damaged *DamagedError
		var version *VersionError
		if err != nil {
			if !errors.As(err, &damaged) && !errors.As(err, &version) {
				t.Fatalf("%v is no way to say that a log is bad", err)
			}
			return
		}
		if end < headerSize || end > int64(len(log)) {
			t.Fatalf("a log of %d bytes ends at %d", len(log), end)
		}
		again := newIndex()
		h.content = log[:end]
		if e, l, err := replay(context.Background(), h, "log", again.replay); err != nil || e != end || l != last {
			t.Fatalf("cut to %d it ends at %d with record %d, %v", end, e, l, err)
		}
	})
}

// FuzzBody reads bodies whose checksums are right.
func FuzzBody(f *testing.F) {
	own := appendOwn(nil, 1, "orders", ownership{epoch: 1, claimed: true, scope: "all"})
	move := appendMove(nil, 1, "orders", []Entry{{Cursor: Cursor{Version: 1}}, {Cursor: Cursor{Deleted: true}}})
	f.Add(own[frameSize:])
	f.Add(move[frameSize:])
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := parseBody(body)
		if err != nil {
			return
		}
		var back []byte
		if c.own != nil {
			back = appendOwn(nil, 1, c.name, *c.own)
		} else {
			back = appendMove(nil, 1, c.name, c.entries)
		}
		if !bytes.Equal(back[frameSize:], body) {
			t.Fatalf("%x is written back as %x", body, back[frameSize:])
		}
	})
}

// Records that are whole and say what cannot be are damage, at their place.
func TestRecordsThatCannotBe(t *testing.T) {
	good := appendOwn(nil, 1, "orders", ownership{epoch: 5, claimed: true})
	cursors := []Entry{{Cursor: Cursor{Version: 1}}}
	raw := func(body ...byte) []byte { return endRecord(append(beginRecord(nil), body...), 0, 2) }
	edited := func(record []byte, at int, to byte) []byte {
		record[frameSize+at] = to
		return endRecord(record, 0, 2)
	}
	for name, second := range map[string][]byte{
		"an epoch again":              appendOwn(nil, 2, "orders", ownership{epoch: 5, claimed: true}),
		"an epoch of before":          appendOwn(nil, 2, "orders", ownership{epoch: 4, claimed: true}),
		"cursors of nobody":           appendMove(nil, 2, "others", cursors),
		"nothing":                     raw(),
		"an unknown kind":             raw(3, 1, 'a'),
		"a name cut short":            raw(kindMove, 9, 'a'),
		"no name":                     raw(kindMove, 0, 0, 0, 0, 0),
		"a claim cut short":           raw(kindOwn, 1, 'a', 1, 2, 3),
		"a half claim":                edited(appendOwn(nil, 2, "a", ownership{epoch: 1}), 3+8, 2),
		"a scope of another length":   edited(appendOwn(nil, 2, "a", ownership{epoch: 1, scope: "abc"}), 3+9, 2),
		"another count of cursors":    edited(appendMove(nil, 2, "orders", cursors), 8, 2),
		"a count cut short":           raw(kindMove, 1, 'a', 1),
		"a cursor of another version": edited(appendMove(nil, 2, "orders", cursors), 8+4+KeySize, 7),
	} {
		log := append(appendHeader(nil), good...)
		at := len(log)
		h := &handle{newPlatter(), &sheet{content: append(log, second...)}}
		_, _, err := replay(t.Context(), h, "log", newIndex().replay)
		var damaged *DamagedError
		if !errors.As(err, &damaged) || damaged.Offset != int64(at) {
			t.Errorf("%s: %v, want damage at %d", name, err, at)
		}
	}
	// Cursors after a deletion.
	log := append(appendHeader(nil), good...)
	log = appendOwn(log, 2, "orders", ownership{epoch: 6})
	at := len(log)
	h := &handle{newPlatter(), &sheet{content: appendMove(log, 3, "orders", cursors)}}
	_, _, err := replay(t.Context(), h, "log", newIndex().replay)
	var damaged *DamagedError
	if !errors.As(err, &damaged) || damaged.Offset != int64(at) {
		t.Errorf("cursors of a deleted subscription: %v, want damage at %d", err, at)
	}
}

// A whole record behind a broken one is found wherever it lies, also across the
// steps in which the search reads.
func TestDamageFarFromTheNextRecord(t *testing.T) {
	const step = 1 << 18
	own := appendOwn(nil, 1, "orders", ownership{epoch: 1, claimed: true})
	for _, gap := range []int{1, frameSize, step - headerSize - frameSize - 5, step - 1, step, step + 1, 2*step - 3, 3 * step} {
		log := append(appendHeader(nil), own...)
		start := len(log)
		log = append(log, make([]byte, gap)...)
		log = appendOwn(log, 9, "orders", ownership{epoch: 2, claimed: true})
		h := &handle{newPlatter(), &sheet{content: log}}
		_, _, err := replay(t.Context(), h, "log", newIndex().replay)
		var damaged *DamagedError
		if !errors.As(err, &damaged) || damaged.Offset != int64(start) {
			t.Errorf("%d broken bytes before a whole record: %v, want damage at %d", gap, err, start)
		}
	}
}
