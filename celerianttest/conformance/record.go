package conformance

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

// line is one line of a record. What says which fields mean something.
type line struct {
	At   int64  `json:"ms"`
	What what   `json:"what"`
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

type what string

const (
	aTry     what = "try"     // a write is about to be sent
	aWrite   what = "write"   // acknowledged, with its version
	aTrim    what = "trim"    // acknowledged, Version is the new floor
	aDelete  what = "delete"  // acknowledged
	anOpen   what = "open"    // a subscription begins; Kind says from where, if not from the beginning
	divides  what = "divides" // the reader shares a scope with others that divide, by hashes
	aJoin    what = "join"    // the reader's scope is about to hold Key, or held it at once; without any it holds all
	aLeave   what = "leave"   // the reader's scope is about to lose Key
	hasLeft  what = "left"    // and has lost it
	aWatch   what = "watch"   // a watch was acknowledged by Node
	aNotice  what = "notice"  // a notification came
	aRead    what = "read"    // a page came from Node
	aList    what = "list"    // a page of a list came from Node, with To entries
	aClaim   what = "claim"   // Node was asked whether it leads; Kind is the answer
	aChange  what = "change"  // a change was handed to the consumer
	handled  what = "handled" // and handled, cursor in Life, Version and Deleted
	aCommit  what = "commit"  // the store has the cursor
	aState   what = "state"   // Kind is the phase
	aFault   what = "fault"   // something was done to connections or nodes
	anEnd    what = "end"     // a subscription ended, Text is its cause
	theTruth what = "truth"   // what the server itself shows at the end
	settled  what = "settled" // nothing more can come
)

// recorder writes a record.
type recorder struct {
	mu    sync.Mutex
	start time.Time
	out   bytes.Buffer
	json  *json.Encoder
	count map[tally]int
}

// tally is what is counted: the lines of a kind, by reader or, with everyone, of all.
type tally struct {
	what   what
	reader int
}

const everyone = -1

func newRecorder() *recorder {
	r := &recorder{start: time.Now(), count: make(map[tally]int)}
	r.json = json.NewEncoder(&r.out)
	return r
}

func (r *recorder) add(l line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.At = time.Since(r.start).Milliseconds()
	r.count[tally{l.What, everyone}]++
	r.count[tally{l.What, l.Reader}]++
	if err := r.json.Encode(l); err != nil {
		panic(err) // a line has nothing that cannot be encoded
	}
}

func (r *recorder) counted(w what) int { return r.countedOf(everyone, w) }

func (r *recorder) countedOf(reader int, w what) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count[tally{w, reader}]
}

// voice records what is of one reader.
type voice struct {
	record *recorder
	reader int
}

func (v voice) add(l line) {
	l.Reader = v.reader
	v.record.add(l)
}

func stateLine(run int, start time.Time, s stream.State) line {
	l := line{What: aState, Run: run, Kind: s.Phase.String(), Since: s.Since.Sub(start).Milliseconds()}
	if s.Cause != nil {
		l.Text = s.Cause.Error()
	}
	return l
}

// bytes returns the record so far.
func (r *recorder) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.out.Bytes())
}

func parse(in io.Reader) ([]line, error) {
	var lines []line
	for d := json.NewDecoder(in); ; {
		var l line
		if err := d.Decode(&l); err == io.EOF {
			return lines, nil
		} else if err != nil {
			return nil, fmt.Errorf("conformance: line %d of the record: %w", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
}

func changeLine(run int, c *stream.Change) line {
	l := line{What: aChange, Run: run, Kind: c.Kind.String(), From: c.From, To: c.To,
		Version: c.Cursor.Version, Life: c.Cursor.Life, Deleted: c.Cursor.Deleted}
	if c.Kind != stream.CaughtUp {
		l.Key = c.Key.String()
	}
	if c.Kind == stream.Batch {
		l.Version, l.Tag, l.Hash = c.Batch.Version, tagOf(c.Batch.Events), hashOf(c.Batch.Events)
	}
	return l
}

func cursorLine(w what, run int, key msg.Key, c checkpoint.Cursor) line {
	return line{What: w, Run: run, Key: key.String(), Life: c.Life, Version: c.Version, Deleted: c.Deleted}
}

// tagOf returns the beginning of the first payload, up to a blank.
func tagOf(events []msg.Event) string {
	if len(events) == 0 {
		return ""
	}
	tag, _, _ := bytes.Cut(events[0].Value, []byte(" "))
	return string(tag)
}

// hashOf fingerprints what a writer decides about events.
func hashOf(events []msg.Event) uint64 {
	h := fnv.New64a()
	for _, e := range events {
		_, _ = fmt.Fprintf(h, "%d %d %d %d %d ", e.ClientSeq, e.Major, e.Minor, e.Timestamp, len(e.Value))
		_, _ = h.Write(e.Value)
	}
	return h.Sum64()
}
