package shard

import (
	"cmp"

	"github.com/celeriant/celeriant-go/msg"
)

// Defaults of Options, those of the reference server (server-semantics 11.3).
const (
	DefaultListPageSize    = 2000
	DefaultMaxResponseSize = 64 << 20
	DefaultSegmentBytes    = 1 << 30
	DefaultMaxSchemaSize   = 16384
)

// Options configures a Shard. The zero value is shard 0 with the reference
// server's defaults, no schema validation, no quirks and no shuffling.
type Options struct {
	// Index is the shard's number in its node, for error texts.
	Index int
	// ListPageSize is how many entries of sealed log segments one list page
	// holds; what the active segment holds comes on top. 0 means 2000.
	ListPageSize int
	// MaxResponseSize bounds, in bytes, what one read or list page may
	// encode to. 0 means 64 MiB.
	MaxResponseSize uint64
	// SegmentBytes is the size of a log segment in bytes. A record that does not
	// fit what is left of the active segment seals it, which lists can tell; a
	// record larger than a whole segment is refused. 0 means 1 GiB.
	SegmentBytes uint64
	// MaxSchemaSize is the longest schema text accepted, in bytes. 0 means 16384.
	MaxSchemaSize int
	// Quirks switches on the accidents of the reference server, see the
	// package documentation.
	Quirks bool
	// Validators compile the schemas of each language. Schemas of a known
	// language without a compiler are accepted and validate nothing.
	Validators map[msg.SchemaType]SchemaCompiler
	// Rand shuffles what the reference server leaves to chance: the order in which the
	// aggregates of a request are checked and the order of notifications of
	// one commit. Nil keeps the order of the requests.
	Rand Shuffler
}

// Shuffler is the source of chance, satisfied by *rand.Rand of math/rand/v2.
type Shuffler interface {
	Shuffle(n int, swap func(i, j int))
}

// SchemaCompiler makes a Validator of a schema's text. Its error text is
// reported to the client that registers the schema.
type SchemaCompiler interface {
	Compile(text string) (Validator, error)
}

// Validator accepts or refuses the value of one event. Its error text is
// reported to the client that writes the event.
type Validator interface {
	Validate(value []byte) error
}

// withDefaults fills in what was left zero.
func (o Options) withDefaults() Options {
	o.ListPageSize = cmp.Or(o.ListPageSize, DefaultListPageSize)
	o.MaxResponseSize = cmp.Or(o.MaxResponseSize, DefaultMaxResponseSize)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, DefaultSegmentBytes)
	o.MaxSchemaSize = cmp.Or(o.MaxSchemaSize, DefaultMaxSchemaSize)
	return o
}

// shuffle permutes items if there is a source of chance.
func shuffle[T any](r Shuffler, items []T) {
	if r == nil || len(items) < 2 {
		return
	}
	r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
}
