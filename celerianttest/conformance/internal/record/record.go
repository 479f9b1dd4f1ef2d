package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Line is one line of a record. Its kind says which fields mean something.
type Line struct {
	At   int64  `json:"ms"`
	What What   `json:"what"`
	Key  string `json:"key,omitempty"`
	// Reader numbers the consumers of a storm, from 0; Run numbers the
	// subscriptions of each, from 1.
	Reader int `json:"reader,omitempty"`
	Run    int `json:"run,omitempty"`

	// Tag names a write; it is the beginning of its first payload. Hash covers
	// all its events.
	Tag     string `json:"tag,omitempty"`
	Hash    uint64 `json:"hash,omitempty"`
	Version uint64 `json:"version,omitempty"`

	Kind      string `json:"kind,omitempty"` // of a change, or of a notification
	From      uint64 `json:"from,omitempty"`
	To        uint64 `json:"to,omitempty"`
	Life      uint64 `json:"life,omitempty"` // of a change's cursor
	Deleted   bool   `json:"deleted,omitempty"`
	Continues bool   `json:"continues,omitempty"`

	Since int64  `json:"since,omitempty"` // when a state began, as At
	Late  int64  `json:"late,omitempty"`  // of an open: for how long it may not hear of what was acknowledged, in ms
	Node  string `json:"node,omitempty"`
	Text  string `json:"text,omitempty"`
}

// StartsNow is the Kind of an open that begins now.
const StartsNow = "now"

// Between is the Kind of an open with something between the consumer and the server, so
// that the record may lack transitions between phases.
const Between = "between"

// The kind of a line tells which step of the run it records.
type What string

const (
	Try     What = "try"     // a write is about to be sent
	Write   What = "write"   // acknowledged, with its version
	Trim    What = "trim"    // acknowledged, Version is the new floor
	Delete  What = "delete"  // acknowledged
	Open    What = "open"    // a subscription begins; Kind says from where, if not from the beginning
	Divides What = "divides" // the reader shares a scope with others that divide, by hashes
	Join    What = "join"    // the reader's scope is about to hold Key, or held it at once; without any it holds all
	Leave   What = "leave"   // the reader's scope is about to lose Key
	Left    What = "left"    // and has lost it
	Watch   What = "watch"   // a watch was acknowledged by Node
	Notice  What = "notice"  // a notification came
	Read    What = "read"    // a page came from Node
	List    What = "list"    // a page of a list came from Node, with To entries
	Claim   What = "claim"   // Node was asked whether it leads; Kind is the answer
	Change  What = "change"  // a change was handed to the consumer
	Handled What = "handled" // and handled, cursor in Life, Version and Deleted
	Commit  What = "commit"  // the store has the cursor
	State   What = "state"   // Kind is the phase
	Fault   What = "fault"   // something was done to connections or nodes
	End     What = "end"     // a subscription ended, Text is its cause
	Truth   What = "truth"   // what the server itself shows at the end
	Settled What = "settled" // nothing more can come
)

// Recorder writes a record.
type Recorder struct {
	mu    sync.Mutex
	Start time.Time
	out   bytes.Buffer
	json  *json.Encoder
	count map[Tally]int
}

// Tally is what is counted: the lines of a kind, by reader or, with everyone, of all.
type Tally struct {
	What   What
	Reader int
}

const everyone = -1

// New makes an empty record.
func New() *Recorder {
	r := &Recorder{Start: time.Now(), count: make(map[Tally]int)}
	r.json = json.NewEncoder(&r.out)
	return r
}

// Add appends a line, and sets its time.
func (r *Recorder) Add(l Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(l)
}

// Settle appends the line that nothing more can come, if the record still has the
// size that it had when the caller judged it. A consumer that resumes in
// between stands at its checkpoint again, behind where the caller saw it.
func (r *Recorder) Settle(size int) (settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out.Len() != size {
		return false
	}
	r.add(Line{What: Settled})
	return true
}

func (r *Recorder) add(l Line) {
	l.At = time.Since(r.Start).Milliseconds()
	r.count[Tally{l.What, everyone}]++
	r.count[Tally{l.What, l.Reader}]++
	if err := r.json.Encode(l); err != nil {
		panic(err) // a line has nothing that cannot be encoded
	}
}

// Counted returns how many lines of a kind there are.
func (r *Recorder) Counted(w What) int { return r.CountedOf(everyone, w) }

// CountedOf returns how many lines of a kind one reader has.
func (r *Recorder) CountedOf(reader int, w What) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count[Tally{w, reader}]
}

// Voice records what is of one reader.
type Voice struct {
	Record *Recorder
	Reader int
}

// Add appends a line of the reader.
func (v Voice) Add(l Line) {
	l.Reader = v.Reader
	v.Record.Add(l)
}

// StateLine records a state of a run, in a record that began at start.
func StateLine(run int, start time.Time, s stream.State) Line {
	l := Line{What: State, Run: run, Kind: s.Phase.String(), Since: s.Since.Sub(start).Milliseconds()}
	if s.Cause != nil {
		l.Text = s.Cause.Error()
	}
	return l
}

// Bytes returns the record so far.
func (r *Recorder) Bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.out.Bytes())
}

// Parse reads a record. Half a line is an error.
func Parse(in io.Reader) ([]Line, error) {
	var lines []Line
	for d := json.NewDecoder(in); ; {
		var l Line
		if err := d.Decode(&l); err == io.EOF {
			return lines, nil
		} else if err != nil {
			return nil, fmt.Errorf("conformance: line %d of the record: %w", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
}

// ChangeLine records that a change was delivered.
func ChangeLine(run int, c *stream.Change) Line {
	l := Line{What: Change, Run: run, Kind: c.Kind.String(), From: c.From, To: c.To,
		Version: c.Cursor.Version, Life: c.Cursor.Life, Deleted: c.Cursor.Deleted}
	if c.Kind != stream.CaughtUp {
		l.Key = c.Key.String()
	}
	if c.Kind == stream.Batch {
		l.Version, l.Tag, l.Hash = c.Batch.Version, TagOf(c.Batch.Events), HashOf(c.Batch.Events)
	}
	return l
}

// CursorLine records something that concerns a cursor.
func CursorLine(w What, run int, key msg.Key, c checkpoint.Cursor) Line {
	return Line{What: w, Run: run, Key: key.String(), Life: c.Life, Version: c.Version, Deleted: c.Deleted}
}

// TagOf returns the beginning of the first payload, up to a blank.
func TagOf(events []msg.Event) string {
	if len(events) == 0 {
		return ""
	}
	tag, _, _ := bytes.Cut(events[0].Value, []byte(" "))
	return string(tag)
}

// HashOf fingerprints what a writer decides about events.
func HashOf(events []msg.Event) uint64 {
	h := fnv.New64a()
	for _, e := range events {
		_, _ = fmt.Fprintf(h, "%d %d %d %d %d ", e.ClientSeq, e.Major, e.Minor, e.Timestamp, len(e.Value))
		_, _ = h.Write(e.Value)
	}
	return h.Sum64()
}
