package checkpoint_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// The form is given to others and kept by them. If this test fails, the code is
// wrong.
func TestCursorTextIsStable(t *testing.T) {
	anchor := checkpoint.Anchor{ServerTimestamp: 1_700_000_000_007, EventSeq: 21, ClientID: msg.IDFromUint64(9), Hash: 0x0e3779b97f4a7c15}
	for _, c := range []struct {
		cursor checkpoint.Cursor
		text   string
	}{
		{checkpoint.Cursor{}, "1.0.0"},
		{checkpoint.Cursor{Life: 2, Deleted: true}, "1.2.0.d"},
		{checkpoint.Cursor{Version: 7, Anchor: anchor}, "1.0.7.1700000000007.21.00000000000000000000000000000009.0e3779b97f4a7c15"},
		{checkpoint.Cursor{Life: 1<<63 - 1, Version: 7, Anchor: anchor, Deleted: true},
			"1.9223372036854775807.7.d.1700000000007.21.00000000000000000000000000000009.0e3779b97f4a7c15"},
	} {
		text, err := c.cursor.MarshalText()
		if err != nil || string(text) != c.text {
			t.Errorf("%v is written as %s, %v, want %s", c.cursor, text, err, c.text)
		}
		var back checkpoint.Cursor
		if err := back.UnmarshalText([]byte(c.text)); err != nil || back != c.cursor {
			t.Errorf("%s is read as %+v, %v", c.text, back, err)
		}
		quoted, err := json.Marshal(c.cursor)
		if err != nil || string(quoted) != `"`+c.text+`"` {
			t.Errorf("%v in JSON is %s, %v", c.cursor, quoted, err)
		}
	}
}

func TestCursorTextRefuses(t *testing.T) {
	for _, text := range []string{
		"", "1", "1.0", "x.0.0", "1.0.0.", "1.0.0.e", "1.00.0", "1.0.-1", "1.0.0.d.d", "1.0.9223372036854775808", "1.9223372036854775808.0",
		"1.0.7.1.2.3.4", "1.0.7.1.2.0000000000000000000000000000000A.000000000000000f", "1.0.0.0.0.00000000000000000000000000000000.0000000000000000",
		"1.0.7.1.2.00000000000000000000000000000009.f", "1.0.7.1.2.00000000000000000000000000000009.0000000000000001.5", "1.0.7 ",
	} {
		c := checkpoint.Cursor{Version: 9}
		var damaged *checkpoint.DamagedError
		if err := c.UnmarshalText([]byte(text)); !errors.As(err, &damaged) || c.Version != 9 {
			t.Errorf("%q: %v, the cursor is %v", text, err, c)
		}
	}
	var version *checkpoint.VersionError
	if err := new(checkpoint.Cursor).UnmarshalText([]byte("2.0.0")); !errors.As(err, &version) || version.Found != 2 {
		t.Errorf("a later form: %v, want a *VersionError", err)
	}
}

// FuzzCursorText reads anything: what is accepted is written back the same.
func FuzzCursorText(f *testing.F) {
	f.Add("1.0.7.1700000000007.21.00000000000000000000000000000009.9e3779b97f4a7c15")
	f.Add("1.2.0.d")
	f.Fuzz(func(t *testing.T, text string) {
		var c checkpoint.Cursor
		if c.UnmarshalText([]byte(text)) != nil {
			return
		}
		if back, _ := c.MarshalText(); string(back) != text {
			t.Fatalf("%q is written back as %q", text, back)
		}
	})
}
