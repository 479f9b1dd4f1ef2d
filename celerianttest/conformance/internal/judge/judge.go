package judge

import (
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
)

// Finding is a guarantee that a record shows broken.
type Finding struct {
	Guarantee string
	Line      int // of the record, from 1
	What      string
}

// judge goes through a record and judges what one reader was given.
type judge struct {
	lines  []record.Line
	truths map[string]*truth
	found  []Finding
	line   int
	reader int
	begins beginning
	mine   membership

	run       int
	reached   map[string]*position // where this run stands
	committed map[string]position
	after     map[cursor]position // where a cursor stands
	handled   map[cursor]bool     // in any run
	first     map[string]bool     // the run has delivered something of the aggregate
	touched   map[string]bool     // or any run has
	bounds    []int               // for each transition to Live of this run, where it began
	caught    int                 // CaughtUps of this run
	between   bool                // the transitions are not all known
}

// position is how far a consumer has come in one aggregate.
type position struct {
	life    uint64 // of the cursor
	in      int    // the truth's life; -1 while nothing of this life has come
	number  int    // of the last batch there
	least   int    // no batch of an earlier life of the truth may come
	last    int    // the line that acknowledged the last batch ever delivered, -1
	version uint64
	deleted bool
	lost    [][2]uint64 // truncated in this life
}

type cursor struct {
	key     string
	life    uint64
	version uint64
	deleted bool
}

// Lines judges all readers of a record.
func Lines(lines []record.Line) []Finding {
	truths := learn(lines)
	found := judgeServer(lines, truths)
	for _, reader := range readersOf(lines) {
		j := &judge{
			lines: lines, truths: truths, reader: reader, begins: beginningOf(lines, reader), mine: newMembership(lines, reader),
			committed: make(map[string]position), after: make(map[cursor]position), handled: make(map[cursor]bool),
			reached: make(map[string]*position), first: make(map[string]bool), touched: make(map[string]bool),
		}
		j.judge()
		found = append(found, j.found...)
	}
	return found
}

// judge goes through the lines of its reader.
func (j *judge) judge() {
	for i, l := range j.lines {
		j.line = i
		if l.What == record.Settled {
			j.end()
		}
		if x := j.truths[l.Key]; x != nil && x.broken > 0 || l.Reader != j.reader {
			continue
		}
		switch l.What {
		case record.Open:
			j.open(l)
		case record.Join:
			j.mine.join(l.Key, i)
			j.resume(l.Key)
		case record.Leave, record.Left:
			j.mine.leave(l.Key, l.What == record.Left)
		case record.Change:
			j.change(l)
		case record.Handled:
			j.handled[cursor{l.Key, l.Life, l.Version, l.Deleted}] = true
		case record.Commit:
			j.commit(l)
		case record.End:
			if l.Text == "" {
				j.breaks("G15", "run %d ended without a cause", l.Run)
			}
		}
	}
}

// breaks tells of a violation.
func (j *judge) breaks(guarantee, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if j.reader > 0 {
		text = fmt.Sprintf("reader %d: %s", j.reader, text)
	}
	j.found = append(j.found, Finding{guarantee, j.line + 1, text})
}

func (j *judge) open(l record.Line) {
	j.run, j.caught, j.between = l.Run, 0, l.Kind == record.Between
	j.reached, j.first = make(map[string]*position), make(map[string]bool)
	j.bounds = []int{j.line}
	live := false
	for i := j.line; i < len(j.lines); i++ { // transitions to Live, and what began them
		switch s := j.lines[i]; {
		case s.What != record.State || s.Reader != l.Reader || s.Run != l.Run:
		case s.Kind == "live":
			live = true
		case live:
			live = false
			j.bounds = append(j.bounds, j.began(i))
		}
	}
}

// began returns the line before which everything counts as older than a state:
// observers are told of states when they have begun, and a shard that is not lost
// when another one is may hear late, of what it is watched at a follower for, or
// with latency.
func (j *judge) began(state int) int {
	since := j.lines[state].Since
	if since == 0 { // the record does not say
		return state
	}
	for i := state; ; i-- {
		if i == j.line || j.lines[i-1].At < since-j.lines[j.line].Late {
			return i
		}
	}
}

// resume forgets where the run stands in one aggregate: it goes on at its cursor.
func (j *judge) resume(key string) {
	delete(j.reached, key)
	delete(j.first, key)
}

func (j *judge) at(key string) *position {
	p := j.reached[key]
	if p == nil {
		start, ok := j.committed[key]
		if !ok {
			start = position{in: -1, number: -1, last: -1}
		}
		start.lost = start.lost[:len(start.lost):len(start.lost)]
		p = &start
		j.reached[key] = p
	}
	return p
}

func (j *judge) change(l record.Line) {
	if l.Kind == "caught_up" {
		j.caughtUp()
		return
	}
	if !j.mine.allows(l.Key) {
		j.breaks(j.mine.guarantee(), "%s of %s, which is not followed", l.Kind, l.Key)
		return
	}
	x, p := j.truths[l.Key], j.at(l.Key)
	if x == nil {
		j.breaks("G8", "%s of %s, which nobody wrote", l.Kind, l.Key)
		return
	}
	if p.deleted && l.Kind != "deleted" && l.Kind != "reset" {
		p.begin(l.Life)
	}
	switch l.Kind {
	case "batch":
		j.batch(l, x, p)
	case "truncated":
		j.truncated(l, x, p)
	case "deleted":
		if p.deleted || l.Life != p.life || !x.deletedAfter(p.last) {
			j.breaks("G6", "deleted in life %d, which stands at %+v", l.Life, *p)
		}
		p.deleted = true
	case "reset":
		if p.deleted || l.Life != p.life+1 {
			j.breaks("G6", "a reset to life %d, deleted %v in life %d", l.Life, p.deleted, p.life)
		}
		if !x.deletedAfter(p.last) && !x.trimmedAbove(p) {
			j.breaks("G6", "a needless reset at version %d", p.version)
		}
		p.begin(l.Life)
	default:
		j.breaks("G2", "%s of %s", l.Kind, l.Key)
	}
	j.first[l.Key], j.touched[l.Key] = true, true
	here := *p
	here.lost = here.lost[:len(here.lost):len(here.lost)]
	j.after[cursor{l.Key, l.Life, l.Version, l.Deleted}] = here
}

func (p *position) begin(life uint64) {
	*p = position{life: life, in: -1, number: -1, least: max(p.least, p.in), last: p.last}
}

// trimmedAbove reports whether the batch at a position was trimmed away, so that
// nothing tells which life the log is of.
func (x *truth) trimmedAbove(p *position) bool {
	for i, l := range x.lives {
		if (p.in < 0 || p.in == i) && l.floor > p.version {
			return true
		}
	}
	return false
}

func (j *judge) batch(l record.Line, x *truth, p *position) {
	where, known := x.where[l.Tag]
	switch {
	case !known:
		j.breaks("G8", "nobody wrote %q, version %d", l.Tag, l.Version)
		return
	case x.batch(where).hash != l.Hash:
		j.breaks("G4", "%v is not what was written", x.batch(where))
	case x.batch(where).version != l.Version:
		j.breaks("G1", "%v came as version %d", x.batch(where), l.Version)
	case l.Life != p.life:
		j.breaks("G1", "%v came in life %d after life %d", x.batch(where), l.Life, p.life)
	case p.in >= 0 && where.life != p.in || where.life < p.least:
		j.breaks("G1", "%v is of another life than what came before", x.batch(where))
	case p.in >= 0 && where.number <= p.number && j.first[l.Key]:
		j.breaks("G3", "%v came again, after %v", x.batch(where), x.batch(place{p.in, p.number}))
	case p.in >= 0 && where.number <= p.number:
		j.breaks("G5", "%v came although %v was stored", x.batch(where), x.batch(place{p.in, p.number}))
	case j.begins.passed(x.batch(where), p) && x.batch(where).line < j.begins.open && j.line < x.resumed:
		j.breaks("G2", "%v came, which is older than the start", x.batch(where))
	}
	from := 0
	if p.in == where.life {
		from = p.number + 1
	}
	for n := from; n < where.number; n++ {
		if b := x.batch(place{where.life, n}); !p.announced(b.version) && !j.begins.passed(b, p) {
			guarantee := "G2"
			if !j.first[l.Key] && p.last >= 0 {
				guarantee = "G5"
			}
			j.breaks(guarantee, "%v is missing before %v", b, x.batch(where))
		}
	}
	p.in, p.number, p.version = where.life, where.number, l.Version
	p.last = max(p.last, x.batch(where).line)
}

func (p *position) announced(version uint64) bool {
	for _, r := range p.lost {
		if r[0] <= version && version <= r[1] {
			return true
		}
	}
	return false
}

func (j *judge) truncated(l record.Line, x *truth, p *position) {
	if l.Life != p.life || l.From <= p.version || l.To < l.From {
		j.breaks("G2", "truncated %d to %d in life %d, after version %d of life %d", l.From, l.To, l.Life, p.version, p.life)
	}
	floor := uint64(0)
	for i, life := range x.lives {
		if p.in < 0 && i >= p.least || p.in == i {
			floor = max(floor, life.floor)
		}
	}
	if l.To >= floor {
		j.breaks("G2", "truncated %d to %d, but nothing from %d on was trimmed", l.From, l.To, floor)
	}
	p.lost = append(p.lost, [2]uint64{l.From, l.To})
	p.version = l.To
}

func (j *judge) commit(l record.Line) {
	c := cursor{l.Key, l.Life, l.Version, l.Deleted}
	if j.begins.now && j.starts(l.Key) { // where it begins, and nothing to handle
		j.committed[l.Key] = position{in: -1, number: -1, last: -1, version: l.Version, life: l.Life, deleted: l.Deleted}
		return
	}
	if !j.handled[c] {
		j.breaks("G11", "the cursor life %d version %d of %s was stored before it was handled", l.Life, l.Version, l.Key)
	}
	if p, ok := j.after[c]; ok {
		j.committed[l.Key] = p
	}
}

// starts reports whether an aggregate may be given where it begins: nothing of it was
// delivered, or only by runs that ended before the start was made, which is then made
// again, later.
func (j *judge) starts(key string) bool {
	return !j.touched[key] || !j.first[key] && j.line < j.begins.made
}

// caughtUp demands that what had been acknowledged when the transition began
// has been delivered.
func (j *judge) caughtUp() {
	if j.between { // every CaughtUp covers what there was when the run began
		j.caught = 0
	}
	if j.caught >= len(j.bounds) {
		j.breaks("G7", "caught up more often than live")
		return
	}
	bound := j.bounds[j.caught]
	j.caught++
	for key, x := range j.truths {
		if x.broken > 0 || !j.mine.since(key, bound) {
			continue
		}
		for i := len(x.lives) - 1; i >= 0; i-- {
			b, found := x.lives[i].before(bound)
			if !found {
				continue
			}
			if p := j.at(key); !x.deletedAfter(b.line) && !j.begins.passed(b, p) && !p.announced(b.version) && (p.in < i || p.in == i && p.number < x.where[b.tag].number) {
				j.breaks("G7", "caught up without %v, acknowledged before line %d", b, bound+1)
			}
			break
		}
	}
}

// before returns the newest batch acknowledged before a line.
func (l *life) before(line int) (batch, bool) {
	for n := len(l.batches) - 1; n >= 0; n-- {
		if l.batches[n].line < line {
			return l.batches[n], true
		}
	}
	return batch{}, false
}

// end demands that every aggregate was delivered up to its head.
func (j *judge) end() {
	for key, x := range j.truths {
		if x.broken > 0 || !j.mine.since(key, j.line) {
			continue
		}
		p := j.at(key)
		switch head := x.head(); {
		case !x.deleted && !p.deleted && j.begins.passed(x.batch(head), p):
		case x.deleted && p.in >= 0 && !p.deleted:
			j.breaks("G9", "%s is deleted, the consumer stands at %v", key, x.batch(place{p.in, p.number}))
		case !x.deleted && (p.in != head.life || p.number != head.number || p.deleted):
			j.breaks("G9", "%s ends with %v, the consumer stands at %+v", key, x.batch(head), *p)
		}
	}
}
