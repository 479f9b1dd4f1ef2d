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
