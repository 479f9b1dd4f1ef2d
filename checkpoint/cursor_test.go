package checkpoint_test

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

func TestCursorOrder(t *testing.T) {
	ascending := []checkpoint.Cursor{
		{},
		{Deleted: true},
		{Version: 1},
		{Version: 1, Deleted: true},
		{Version: 2},
		{Version: 1 << 63},
		{Version: ^uint64(0)},
		{Life: 1},
		{Life: 1, Deleted: true},
		{Life: 1, Version: 1},
		{Life: 1 << 63},
		{Life: ^uint64(0), Version: ^uint64(0), Deleted: true},
	}
	for i, a := range ascending {
		for j, b := range ascending {
			want := max(-1, min(1, i-j))
			if got := a.Compare(b); got != want {
				t.Errorf("%v against %v: %d, want %d", a, b, got, want)
			}
			b.Anchor.Hash++
			if got := a.Compare(b); got != want {
				t.Errorf("%v against %v of another anchor: %d, want %d", a, b, got, want)
			}
		}
		if a.IsZero() != (i == 0) {
			t.Errorf("%v: IsZero is %v", a, a.IsZero())
		}
	}
	if (checkpoint.Cursor{Anchor: checkpoint.Anchor{Hash: 1}}).IsZero() {
		t.Error("a cursor with an anchor is zero")
	}
}

// The form is stored for years. If this test fails, the code is wrong.
func TestCursorEncodingIsStable(t *testing.T) {
	c := checkpoint.Cursor{Life: 1, Version: 0x0203040506070809, Deleted: true, Anchor: checkpoint.Anchor{
		ServerTimestamp: 0x1112131415161718, EventSeq: 0x2122232425262728,
		ClientID: msg.IDFromUint64s(0x3132333435363738, 0x4142434445464748), Hash: 0xf1f2f3f4f5f6f7f8,
	}}
	const want = "01" + "0000000000000001" + "0203040506070809" + "01" + "1112131415161718" + "2122232425262728" +
		"31323334353637384142434445464748" + "f1f2f3f4f5f6f7f8"
	b, err := c.MarshalBinary()
	if err != nil || hex.EncodeToString(b) != want || len(b) != checkpoint.CursorSize {
		t.Fatalf("%v is encoded as %x, %v, want %s", c, b, err, want)
	}
	var back checkpoint.Cursor
	if err := back.UnmarshalBinary(b); err != nil || back != c {
		t.Fatalf("read back as %+v, %v", back, err)
	}
}

func TestCursorDecodingRefuses(t *testing.T) {
	good, _ := checkpoint.Cursor{Version: 3}.MarshalBinary()
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"too short":        good[:len(good)-1],
		"too long":         append(slices.Clone(good), 0),
		"half deleted":     append(append(slices.Clone(good[:17]), 2), good[18:]...),
		"a life of 2⁶³":    append(append(slices.Clone(good[:1]), 0x80), good[2:]...),
		"a version of 2⁶³": append(append(slices.Clone(good[:9]), 0x80), good[10:]...),
		"later version":    append([]byte{2}, good[1:]...),
	} {
		c := checkpoint.Cursor{Version: 9}
		err := c.UnmarshalBinary(b)
		var damaged *checkpoint.DamagedError
		var version *checkpoint.VersionError
		if name == "later version" && !errors.As(err, &version) || name != "later version" && !errors.As(err, &damaged) {
			t.Errorf("%s: %v", name, err)
		}
		if c.Version != 9 {
			t.Errorf("%s: the cursor was changed", name)
		}
	}
}

func TestKeyEncodingKeepsOrder(t *testing.T) {
	id := msg.IDFromUint64
	keys := []msg.Key{
		{}, {Aggregate: id(1)}, {Aggregate: id(256)}, {Type: id(1)}, {Type: id(1), Aggregate: id(1)}, {Org: id(1)},
		{Org: msg.IDFromUint64s(1<<63, 0)},
	}
	for i, k := range keys {
		b := checkpoint.AppendKey(nil, k)
		if back, err := checkpoint.ParseKey(b); err != nil || back != k {
			t.Errorf("%v read back as %v, %v", k, back, err)
		}
		if i > 0 && slices.Compare(checkpoint.AppendKey(nil, keys[i-1]), b) >= 0 {
			t.Errorf("%v does not sort behind %v", k, keys[i-1])
		}
	}
	var damaged *checkpoint.DamagedError
	if _, err := checkpoint.ParseKey(make([]byte, 47)); !errors.As(err, &damaged) {
		t.Errorf("a key of 47 bytes: %v", err)
	}
}

func TestAdvance(t *testing.T) {
	key := func(n uint64) msg.Key { return msg.Key{Org: msg.IDFromUint64(n)} }
	entry := func(k, version uint64) checkpoint.Entry {
		return checkpoint.Entry{Key: key(k), Cursor: checkpoint.Cursor{Version: version}}
	}
	for _, c := range []struct {
		name    string
		entries []checkpoint.Entry
		stored  []uint64
		want    []checkpoint.Entry
		refused *checkpoint.RegressionError
	}{
		{name: "nothing"},
		{name: "one moves", entries: []checkpoint.Entry{entry(1, 2)}, stored: []uint64{1}, want: []checkpoint.Entry{entry(1, 2)}},
		{name: "one stays", entries: []checkpoint.Entry{entry(1, 2)}, stored: []uint64{2}},
		{name: "one goes back", entries: []checkpoint.Entry{entry(1, 2)}, stored: []uint64{3},
			refused: &checkpoint.RegressionError{Key: key(1), Stored: checkpoint.Cursor{Version: 3}, Offered: checkpoint.Cursor{Version: 2}}},
		{name: "some move", entries: []checkpoint.Entry{entry(1, 2), entry(2, 2), entry(3, 2)}, stored: []uint64{1, 2, 0},
			want: []checkpoint.Entry{entry(1, 2), entry(3, 2)}},
		{name: "the last of a key", entries: []checkpoint.Entry{entry(1, 2), entry(2, 1), entry(1, 3)}, stored: []uint64{1, 0, 1},
			want: []checkpoint.Entry{entry(1, 3), entry(2, 1)}},
		{name: "stays, then moves", entries: []checkpoint.Entry{entry(1, 1), entry(1, 2)}, stored: []uint64{1, 1}, want: []checkpoint.Entry{entry(1, 2)}},
		{name: "goes back within", entries: []checkpoint.Entry{entry(1, 3), entry(1, 2)}, stored: []uint64{1, 1},
			refused: &checkpoint.RegressionError{Key: key(1), Stored: checkpoint.Cursor{Version: 3}, Offered: checkpoint.Cursor{Version: 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stored := make([]checkpoint.Cursor, len(c.stored))
			for i, v := range c.stored {
				stored[i].Version = v
			}
			given := slices.Clone(c.entries)
			got, err := checkpoint.Advance(given, stored)
			var refused *checkpoint.RegressionError
			if errors.As(err, &refused) != (c.refused != nil) || refused != nil && *refused != *c.refused {
				t.Fatalf("refused with %v, want %v", err, c.refused)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("moves %v, want %v", got, c.want)
			}
			if !slices.Equal(given, c.entries) {
				t.Error("the entries were changed")
			}
		})
	}
}

// Errors are read by people in the night: they name the value and the limit.
func TestErrorsNameThings(t *testing.T) {
	key := msg.Key{Org: msg.IDFromUint64(1)}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{&checkpoint.ScopeError{Name: "orders", Stored: "a", Wanted: strings.Repeat("b", 5000)}, []string{`"orders"`, `"a"`, "5000 bytes"}},
		{&checkpoint.RegressionError{Key: key, Stored: checkpoint.Cursor{Version: 9, Deleted: true}, Offered: checkpoint.Cursor{Life: 2, Version: 8}},
			[]string{key.String(), "life 0 version 9 deleted", "life 2 version 8"}},
		{&checkpoint.DamagedError{Where: "/x/log", Offset: 77, Reason: "bad"}, []string{"/x/log", "byte 77", "bad"}},
		{&checkpoint.DamagedError{Where: "table", Offset: -1, Reason: "bad"}, []string{"table", "bad"}},
		{&checkpoint.VersionError{Where: "/x/log", Found: 3, Supported: 1}, []string{"/x/log", "3", "1"}},
		{&checkpoint.FencedError{Owner: checkpoint.Owner{Name: "orders", Epoch: 4}, Newest: 6}, []string{`"orders"`, "4", "6"}},
		{&checkpoint.FencedError{Owner: checkpoint.Owner{Name: "orders", Epoch: 4}, Newest: 4}, []string{`"orders"`, "4", "token"}},
		{&checkpoint.FencedError{Owner: checkpoint.Owner{Name: "orders", Epoch: 4, Leased: true, Partition: 17}, Newest: 6}, []string{`"orders"`, "partition 17", "4", "6"}},
		{&checkpoint.FencedError{Owner: checkpoint.Owner{Name: "orders"}, Deleted: true}, []string{`"orders"`, "deleted"}},
		{&checkpoint.RegressionError{Key: key, Stored: checkpoint.Cursor{Version: 5}, From: checkpoint.Cursor{Version: 6}, Offered: checkpoint.Cursor{Version: 8}},
			[]string{key.String(), "version 5", "version 6", "version 8"}},
		{&checkpoint.AppliedError{Key: key, Stored: checkpoint.Cursor{Version: 5}, Offered: checkpoint.Cursor{Version: 4}}, []string{key.String(), "version 5", "version 4"}},
		{&checkpoint.CursorError{Key: key, Cursor: checkpoint.Cursor{Version: 1 << 63}}, []string{key.String(), "9223372036854775808", "2⁶³"}},
		{&checkpoint.RevisionError{Name: "orders", Key: "parked/7", Stored: 0xabc, Wanted: 0xdef}, []string{`"orders"`, `"parked/7"`, "abc", "def"}},
		{&checkpoint.LimitError{Name: "orders", Prefix: "parked/", Stored: 1000, Limit: 999}, []string{`"orders"`, `"parked/"`, "1000", "999"}},
		{&checkpoint.RecordError{Key: "k", Reason: "bad"}, []string{`"k"`, "bad"}},
		{&checkpoint.LockedError{Path: "/x/LOCK"}, []string{"/x/LOCK"}},
		{&checkpoint.SizeError{Name: "orders", Entries: 12, Limit: 10}, []string{`"orders"`, "12", "10"}},
		{checkpoint.CheckName(strings.Repeat("n", 300)), []string{"300", "255"}},
		{checkpoint.CheckName("a\tb"), []string{`a\tb`, "U+0009"}},
		{checkpoint.Claim{Name: "orders", Scope: strings.Repeat("s", checkpoint.MaxScope+1)}.Check(), []string{`"orders"`, "1048577", "1048576"}},
	} {
		for _, w := range c.want {
			if !strings.Contains(c.err.Error(), w) {
				t.Errorf("%T says %q, want it to name %q", c.err, c.err, w)
			}
		}
	}
	if !errors.Is(&checkpoint.FencedError{}, checkpoint.ErrFenced) {
		t.Error("a FencedError is not ErrFenced")
	}
}
