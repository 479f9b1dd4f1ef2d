package celerianttest

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"math"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/server"
	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// Options configure a node. The zero value is a node with one shard on a free
// port of 127.0.0.1 that keeps everything in memory, behaves well (no Quirks),
// and has the limits of the reference server.
type Options struct {
	// Shards is the number of shards; default 1.
	Shards int
	// Routing is the part of a key that decides its shard; default the aggregate.
	Routing msg.RoutingRule
	// ReserveCoordinator keeps shard 0 free of data when there are several shards.
	ReserveCoordinator bool

	// Address is the TCP address to listen on; default "127.0.0.1:0", a free
	// port that is kept across restarts. With InMemory it is a name only, by
	// default "node:10000".
	Address string
	// InMemory leaves TCP out: the node is reached by [Node.Dial] only. Inside
	// a testing/synctest bubble this is required, since a goroutine that waits
	// for the network keeps virtual time from passing.
	InMemory bool

	// MaxRequestSize bounds both lengths of a request frame, in bytes; default
	// 16 MiB. A larger one closes its connection.
	MaxRequestSize uint32
	// MaxResponseSize bounds the body of a response, in bytes; default 64 MiB.
	MaxResponseSize uint32
	// ListPageSize is how many entries older log segments add to a list page;
	// default 2000. The newest segment always fits into one page.
	ListPageSize int
	// SegmentBytes is when a log segment is sealed, which lists depend on;
	// default 1 GiB.
	SegmentBytes uint64
	// MaxSchemaSize bounds the text of a schema, in bytes; default 16384.
	MaxSchemaSize int
	// IdleTimeout is how long a client may take from the moment the node
	// starts waiting for a request until that request is fully there, and how
	// long it may take to accept a response; default 30 s. Then the connection
	// is closed. Watches have no read time-out.
	IdleTimeout time.Duration
	// MaxLatency bounds the latency a watch may ask for; default 2 s.
	MaxLatency time.Duration
	// MaxWatchSubscribers bounds the watches per shard; default 16384.
	MaxWatchSubscribers int
	// MaxUndelivered is how many notifications may wait for one slow watch
	// before it is ended; default 10000.
	MaxUndelivered int
	// Heartbeat is how long a watch is quiet before an empty frame is sent;
	// default 5 s.
	Heartbeat time.Duration

	// TLS, when set, makes the node take TLS connections only, through TCP and
	// through memory alike: version 1.3, without session tickets or ALPN. TLS
	// must hold a certificate; ClientAuth and ClientCAs decide about client
	// certificates. The node works on a copy. A handshake may take 10 s.
	// Protocol section 16.
	TLS *tls.Config

	// RequireIdentity refuses connections whose first frame is no Identify.
	RequireIdentity bool
	// APIKeys, when any is set, are demanded of every client. A node with a
	// DataRoot and no APIKeys looks for an api_keys.toml there.
	APIKeys APIKeys
	// NoCompression makes the node neither send nor accept compressed frames,
	// and answer Identify without a dictionary.
	NoCompression bool
	// Dictionary replaces the built-in compression dictionary.
	Dictionary []byte
	// Validators compile the schemas of each language. Schemas of a language
	// without one are accepted and not enforced.
	Validators map[msg.SchemaType]SchemaCompiler

	// DataRoot, when set, is the folder of an append-only file per shard, so
	// that the node survives a restart of its process. The folder is created if
	// needed.
	DataRoot string
	// Sync makes acknowledged data survive a power cut too, by an fsync per
	// commit group. Without it data survives a kill of the process only.
	Sync bool
	// CommitDelay is how long a commit group is collected; default 0. Larger
	// groups make Sync cheaper and let several changes of an aggregate be
	// notified as one.
	CommitDelay time.Duration

	// ReadLag is by how much reads, details and lists may be behind what is
	// notified: a change is notified as soon as it is committed, and readable up
	// to so much later, most often at once, in the order of commits. A write is
	// acknowledged when it can be read. With Quirks a deleted aggregate that is
	// written to shows the life that ended until then. Default 0: what is
	// notified can be read. Pairs of the reference server are seen to do this
	// under load, for up to half a second; in a pair only the leader does.
	ReadLag time.Duration

	// Quirks switches on the accidents of the reference server that a client
	// must survive; see the package documentation for the list.
	Quirks bool
	// Seed feeds everything random: the order inside coalesced watch frames
	// and of lists. Equal seeds and equal requests give equal orders.
	Seed uint64
	// Clock is where server timestamps come from and what nonces are compared
	// with; default the system clock. Time-outs, latencies and heartbeats use
	// the standard library's timers, which testing/synctest makes virtual.
	Clock Clock
}

// Clock tells the time. Clock must be safe for concurrent use.
type Clock interface{ Now() time.Time }

// SchemaCompiler turns the text of a schema into a validator. SchemaCompiler
// must be safe for concurrent use, and so must what it returns.
type SchemaCompiler = shard.SchemaCompiler

// Validator says whether an event's payload fits its schema.
type Validator = shard.Validator

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// OptionError is an option with a value that cannot be used.
type OptionError struct {
	// Option is the name of the field of Options.
	Option string
	// Reason names the value and its limit.
	Reason string
}

// Error returns the option and the reason.
func (e *OptionError) Error() string {
	return fmt.Sprintf("celerianttest: option %s: %s", e.Option, e.Reason)
}

// complete returns the options with every default filled in.
func (o Options) complete() (Options, error) {
	o.Shards = cmp.Or(o.Shards, 1)
	if o.InMemory { // what clients take for an address, which one with port 0 is not
		o.Address = cmp.Or(o.Address, "node:10000")
	}
	o.Address = cmp.Or(o.Address, "127.0.0.1:0")
	o.MaxRequestSize = cmp.Or(o.MaxRequestSize, 16<<20)
	o.MaxResponseSize = cmp.Or(o.MaxResponseSize, 64<<20)
	o.ListPageSize = cmp.Or(o.ListPageSize, 2000)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 1<<30)
	o.MaxSchemaSize = cmp.Or(o.MaxSchemaSize, 16384)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 30*time.Second)
	o.MaxLatency = cmp.Or(o.MaxLatency, 2*time.Second)
	o.MaxWatchSubscribers = cmp.Or(o.MaxWatchSubscribers, 16384)
	o.MaxUndelivered = cmp.Or(o.MaxUndelivered, 10000)
	o.Heartbeat = cmp.Or(o.Heartbeat, 5*time.Second)
	if o.Dictionary == nil {
		o.Dictionary = server.Dictionary()
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	return o, o.check()
}

func (o Options) check() error {
	positive := []struct {
		name  string
		value int64
	}{
		{"Shards", int64(o.Shards)},
		{"ListPageSize", int64(o.ListPageSize)},
		{"MaxSchemaSize", int64(o.MaxSchemaSize)},
		{"IdleTimeout", int64(o.IdleTimeout)},
		{"MaxLatency", int64(o.MaxLatency)},
		{"MaxWatchSubscribers", int64(o.MaxWatchSubscribers)},
		{"MaxUndelivered", int64(o.MaxUndelivered)},
		{"Heartbeat", int64(o.Heartbeat)},
		{"CommitDelay", int64(o.CommitDelay) + 1},
		{"ReadLag", int64(o.ReadLag) + 1},
	}
	for _, p := range positive {
		if p.value < 1 {
			return &OptionError{p.name, "must not be negative"}
		}
	}
	if o.Shards > math.MaxUint16 {
		return &OptionError{"Shards", fmt.Sprintf("%d is more than %d", o.Shards, math.MaxUint16)}
	}
	if o.MaxResponseSize < wire.FixedBodyLimit {
		return &OptionError{"MaxResponseSize", fmt.Sprintf("%d is less than the %d bytes of a fixed frame", o.MaxResponseSize, wire.FixedBodyLimit)}
	}
	if o.Routing > msg.RouteByOrg {
		return &OptionError{"Routing", fmt.Sprintf("%d is no routing rule", o.Routing)}
	}
	if o.Sync && o.DataRoot == "" {
		return &OptionError{"Sync", "needs a DataRoot"}
	}
	if err := checkTLS(o.TLS); err != nil {
		return err
	}
	return o.APIKeys.check()
}

// checkTLS refuses a configuration no handshake could succeed with.
func checkTLS(c *tls.Config) error {
	switch {
	case c == nil:
		return nil
	case len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil:
		return &OptionError{"TLS", "holds no certificate"}
	case c.MaxVersion != 0 && c.MaxVersion < tls.VersionTLS13:
		return &OptionError{"TLS", tls.VersionName(c.MaxVersion) + " is asked for at most, and TLS 1.3 is the only version"}
	}
	return nil
}
