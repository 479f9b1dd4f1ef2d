package traces

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
)

//go:embed recordings/*.jsonl
var files embed.FS

// Recording is one scenario recorded in one protocol version.
type Recording struct {
	// Name is the file's name without extension, such as "append-read.v3".
	Name string
	// Scenario is shared by the recordings of one scenario in both versions.
	Scenario string
	// A sentence that describes the recording.
	What string
	// Protocol is the version, 2 or 3.
	Protocol int
	// Server holds the flags the server ran with, or for a pair of nodes a description.
	Server []string
	// Source says what was recorded.
	Source string
	Steps  []Step
}

// Step is one line of a recording. Which fields are set depends on Do.
type Step struct {
	// Line is the step's line number in the file, from 2.
	Line int
	// AtMS is when the step ended, in milliseconds since the start.
	AtMS int
	// Do is one of the constants below.
	Do string
	// Conn is the number of the connection. Opening a number again drops the
	// older connection.
	Conn int
	// Node is "A" or "B" for an open in a recording of a pair.
	Node string
	// Hex holds the bytes written, or the one frame received; nil where the
	// dictionary was cut.
	Hex []byte
	// Type names the message, or says what hand-made bytes are.
	Type string
	// Body is the decoded message, nil for hand-made bytes; see Map for its shape.
	Body any
	// Compressed tells that the frame's body was compressed.
	Compressed bool
	// Dictionary remarks that the dictionary was cut from an answer.
	Dictionary string
	// OK tells whether writing hand-made bytes succeeded.
	OK bool
	// WaitedMS is how long nothing arrived.
	WaitedMS int
	// Partial counts the bytes of an unfinished header before an end of stream.
	Partial int
	// Note is a remark, for pairs also what was done to a node.
	Note string
}

// The steps.
const (
	DoOpen    = "open"    // Conn, Node: a new TCP connection
	DoSend    = "send"    // Conn, Hex, Type, Body or OK; after an end of stream the bytes go nowhere
	DoRecv    = "recv"    // Conn, Hex, Type, Body
	DoSilence = "silence" // Conn, WaitedMS: nothing arrived
	DoEOF     = "eof"     // Conn, Partial: the server closed
	DoClose   = "close"   // Conn: the client closed
	DoRestart = "restart" // the node was killed and started again on the same data
	DoNote    = "note"    // Note
)

// Map is a map inside a body, sorted by key; the bytes keep the order sent.
//
// A body is the message as positional array: []any of nil, bool, uint64,
// string, []byte (ids in big-endian order, payloads, initialisation vectors),
// Map, and []any again.
type Map []Entry

// Entry is one entry of a Map.
type Entry struct{ Key, Value any }

var load = sync.OnceValue(func() []Recording {
	names, err := fs.Glob(files, "recordings/*.jsonl")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	all := make([]Recording, 0, len(names))
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			panic(err) // the file is embedded
		}
		rec, err := Parse(strings.TrimSuffix(path.Base(name), ".jsonl"), text)
		if err != nil {
			panic(fmt.Sprintf("traces: %s: %v", name, err))
		}
		all = append(all, rec)
	}
	return all
})

// All returns every recording, sorted by name. The recordings are shared by
// all callers and must not be changed. All panics if an embedded file is
// broken.
func All() []Recording { return load() }

// Find returns the recording of a scenario in a protocol version.
func Find(scenario string, protocol int) (Recording, bool) {
	for _, rec := range All() {
		if rec.Scenario == scenario && rec.Protocol == protocol {
			return rec, true
		}
	}
	return Recording{}, false
}
