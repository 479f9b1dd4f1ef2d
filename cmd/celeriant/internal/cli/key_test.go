package cli

import (
	"testing"
	"unicode/utf8"

	"github.com/celeriant/celeriant-go/msg"
)

func TestKeysAreShortForPersonsOnly(t *testing.T) {
	random := msg.IDFromUint64s(0x01890a5dac967774, 0xa1b2c3d4e5f60718)
	key := msg.Key{Org: msg.IDFromUint64(1), Type: random, Aggregate: msg.IDFromUint64(1<<64 - 1)}
	if got, want := Key(key, true), "1/01890a5d…e5f60718/18446744073709551615"; got != want {
		t.Errorf("short: %q, want %q", got, want)
	}
	if got := Key(key, false); got != key.String() {
		t.Errorf("whole: %q, want %q", got, key)
	}
	if n := utf8.RuneCountInString(Key(msg.Key{Org: random, Type: random, Aggregate: random}, true)); n != 53 {
		t.Errorf("%d characters", n)
	}
}
