package cli

import (
	"fmt"
	"os"
	"strconv"

	"github.com/celeriant/celeriant-go/msg"
)

// Short reports whether ids are shortened: where a person reads them on a terminal.
// Everywhere else, and in JSON, they are whole.
func Short() bool { return IsTerminal(os.Stdout) }

// ID returns the text of an id, whole or short. A short one is the number that the flags
// take where it is below 2^64, else the first and the last eight digits: of ids that begin
// with a time the last ones differ, of those that are counted, too.
func ID(id msg.ID, short bool) string {
	if !short {
		return id.String()
	}
	if high, low := id.Uint64s(); high == 0 {
		return strconv.FormatUint(low, 10)
	}
	digits := id.Hex()
	return digits[:8] + "…" + digits[len(digits)-8:]
}

// Key returns the text of a key, whole or with short ids: at most 53 characters.
func Key(key msg.Key, short bool) string {
	return ID(key.Org, short) + "/" + ID(key.Type, short) + "/" + ID(key.Aggregate, short)
}

// Count returns a number with its noun: "1 event", "2 events".
func Count(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
