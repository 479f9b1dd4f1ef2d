package judge

import (
	"slices"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
)

// readersOf returns the readers of a record, in order.
func readersOf(lines []record.Line) []int {
	var all []int
	for _, l := range lines {
		if l.What == record.Open && !slices.Contains(all, l.Reader) {
			all = append(all, l.Reader)
		}
	}
	slices.Sort(all)
	return all
}

// beginning is where a reader begins.
type beginning struct {
	now  bool
	open int // the line in which it was opened first
	// made is the line in which the run was live that made the start, or the end of a
	// record in which none was. Until then a list may be ahead of notifications, so
	// that what was written since the acknowledgement may be begun behind.
	made int
}

func beginningOf(lines []record.Line, reader int) beginning {
	b := beginning{open: -1, made: len(lines)}
	live := -1
	for i, l := range lines {
		if l.Reader != reader {
			continue
		}
		switch {
		case l.What == record.Open:
			if live = -1; b.open < 0 {
				b.open, b.now = i, l.Kind == record.StartsNow
			}
		case l.What == record.State && l.Kind == "live":
			live = i
		case l.What == record.Change && l.Kind == "caught_up":
			if b.made = live; live < 0 {
				b.made = i // observers are told of states when they have begun
			}
			return b
		}
	}
	return b
}

// passed reports whether a start from now may pass over a batch, seen from where
// the reader stands: nothing of the aggregate was delivered, and the batch was sent
// before the start was made.
func (b beginning) passed(x batch, p *position) bool {
	return b.now && p.in < 0 && p.life == 0 && x.tried < b.made
}

// membership is what a reader follows, as far as the record tells: everything, or
// what has joined and not left, or what no other of those that divide a scope was
// given.
type membership struct {
	reader int
	joined map[string]int // by key, the line; nil: everything
	going  map[string]bool
	owner  map[string]int // of those that divide a scope, by key
}

func newMembership(lines []record.Line, reader int) membership {
	m := membership{reader: reader}
	divide := make(map[int]bool)
	for _, l := range lines {
		switch {
		case l.What == record.Join && l.Reader == reader && m.joined == nil:
			m.joined, m.going = make(map[string]int), make(map[string]bool)
		case l.What == record.Divides:
			divide[l.Reader] = true
		}
	}
	if !divide[reader] {
		return m
	}
	m.owner = make(map[string]int)
	for _, l := range lines {
		if _, owned := m.owner[l.Key]; l.What == record.Change && l.Key != "" && divide[l.Reader] && !owned {
			m.owner[l.Key] = l.Reader
		}
	}
	return m
}

func (m *membership) join(key string, line int) {
	m.joined[key] = line
	delete(m.going, key)
}

// leave: what is asked to leave may be delivered until it has left.
func (m *membership) leave(key string, left bool) {
	if m.going[key] = true; left {
		delete(m.joined, key)
		delete(m.going, key)
	}
}

// allows reports whether changes of an aggregate may come.
func (m *membership) allows(key string) bool {
	if owner, owned := m.owner[key]; owned && owner != m.reader {
		return false
	}
	_, joined := m.joined[key]
	return m.joined == nil || joined
}

// guarantee is what breaks if others come.
func (m *membership) guarantee() string {
	if m.owner != nil {
		return "G3" // another reader has it
	}
	return "G8"
}

// since reports whether an aggregate must have come if it was there before a line.
func (m *membership) since(key string, line int) bool {
	at := m.joined[key]
	return m.allows(key) && !m.going[key] && at < line
}
