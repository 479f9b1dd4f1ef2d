package judge

import (
	"fmt"
	"strings"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
)

// judgeServer finds where the server went against the protocol, and what it shows
// in the end that was not acknowledged.
func judgeServer(lines []record.Line, truths map[string]*truth) []Finding {
	var found []Finding
	for i, l := range lines {
		switch x := truths[l.Key]; {
		case x != nil && x.broken > 0 && i == x.broken:
			found = append(found, Finding{"server", i + 1, fmt.Sprintf("%s of %s stands for a version that was taken or passed: %+v", l.What, l.Key, l)})
		case l.What == record.Truth && (x == nil || x.broken == 0):
			if broken := served(l, x); broken != "" {
				found = append(found, Finding{"G8", i + 1, broken})
			}
		}
	}
	return found
}

// served compares what the server shows in the end with what it acknowledged.
func served(l record.Line, x *truth) string {
	switch {
	case x == nil:
		return fmt.Sprintf("the server shows %s, which nobody wrote", l.Key)
	case x.deleted != l.Deleted:
		return fmt.Sprintf("the server says deleted %v of %s, its writer %v", l.Deleted, l.Key, x.deleted)
	case l.Deleted:
		return ""
	}
	last := x.lives[x.head().life]
	var want []string
	for _, b := range last.batches {
		if b.version >= l.From {
			want = append(want, b.tag)
		}
	}
	if got := l.Text; got != strings.Join(want, " ") || l.From > max(last.floor, 1) {
		return fmt.Sprintf("the server shows %q from %d on, want %q from %d on", got, l.From, want, last.floor)
	}
	return ""
}
