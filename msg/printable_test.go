package msg_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/celeriant/celeriant-go/msg"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		`{"a":"b\c"}`:              `{"a":"b\c"}`,
		"größer 漢字":                "größer 漢字",
		"\x1b[2J\x1b]0;owned\a":    `\x1b[2J\x1b]0;owned\a`,
		"line\r\n2026 INFO forged": `line\r\n2026 INFO forged`,
		"\u202egnp.exe":            `\u202egnp.exe`,
		"\u009b31m\u00a0":          `\u009b31m\u00a0`,
		"bad \xff\xfe":             `bad \xff\xfe`,
	} {
		if got := msg.Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A long text is cut at a character, and its length is told.
func TestPrintableIsBounded(t *testing.T) {
	for _, unit := range []string{"x", "ö", "漢", "\x00", "\xff", "\U0001F600"} {
		for lead := range 4 {
			text := strings.Repeat("-", lead) + strings.Repeat(unit, 10_000)
			got := msg.Printable(text)
			if len(got) > 512*6+40 || !utf8.ValidString(got) || !strings.Contains(got, "bytes)") {
				t.Errorf("%q: %d bytes: %.40q", unit, len(got), got)
			}
			if utf8.ValidString(text) && strings.Contains(got, `\x`) && unit != "\x00" {
				t.Errorf("%q: cut inside a character: %q", unit, got[len(got)-40:])
			}
		}
	}
}

// A node's text cannot write to the terminal or forge lines of a log.
func TestServerErrorIsPrintable(t *testing.T) {
	err := msg.NewServerError(&msg.ErrorResponse{Code: msg.CodeWriteNotLeader,
		Message: "{\"leader_address\":\"\x1b[31m\nERROR forged\"}" + strings.Repeat("z", 5000)}, "10.0.0.1:1\n")
	if text := err.Error(); strings.ContainsAny(text, "\x1b\n") || len(text) > 1000 {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	if !strings.Contains(err.Message, "\x1b") {
		t.Error("the message itself was changed")
	}
}
