package pool

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
)

// The defaults that zero options stand for.
const (
	DefaultMaxConnections  = 10
	DefaultConnectTimeout  = 2 * time.Second
	DefaultRequestTimeout  = 2 * time.Second
	DefaultIdleTimeout     = 25 * time.Second
	DefaultFailoverBudget  = 10 * time.Second
	DefaultWatchLiveness   = 15 * time.Second
	DefaultMaxRequestSize  = 10_000_000
	DefaultMaxResponseSize = 64 << 20
	DefaultPageBytes       = 1 << 20
	DefaultProtocolVersion = 2
)

const (
	maxConnections   = 65_536
	maxSeeds         = 64
	smallestSizeCap  = 1_024
	largestSizeCap   = math.MaxInt32
	smallestPageSize = 4 << 10
	shortestInterval = time.Millisecond
)

// DialFunc opens a connection; it must honour its context.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Options configure a [Pool]. The zero value of every field but Address stands
// for its default; [New] refuses values outside the stated limits.
type Options struct {
	// Address is the "host:port" of a node, the first to be tried; it need not
	// lead. Required unless there are SeedAddresses.
	Address string

	// SeedAddresses are other nodes of the same cluster, in the order they are
	// tried; default none, at most 64. With more than one node known the pool
	// finds out who leads. With Address alone it reads there unasked, until the
	// answer to a mutation names somebody else.
	SeedAddresses []string

	// RouteReadsToFollowers lets reads, lists, details and watches go to the
	// followers in turn, to the leader only when no follower can serve them.
	// Followers lag: milliseconds as a rule, many seconds after a restart.
	// Default false: the leader. Leave it off where a program reads what it
	// has written.
	RouteReadsToFollowers bool

	// FailoverBudget is how long an operation keeps looking for a node that
	// takes it while there is no leader, or a busy one; default 10 s. The last
	// attempt may begin at its very end. Elections take 1 to 3 s as a rule and
	// up to 40 s after a node's start; lower it where callers prefer an early
	// error, best together with their own contexts.
	FailoverBudget time.Duration

	// MapAddress turns the address that a node names as the leader's into the
	// one to dial, for nodes behind proxies or in networks of their own; default
	// as it is. An empty result drops the hint. MapAddress is called from
	// several goroutines. Configured addresses are not mapped.
	MapAddress func(advertised string) string

	// Trust says which addresses that are not configured may be followed; see [Trust],
	// [TrustSameHosts], [TrustAddresses] and [TrustNetworks]. An address that a node
	// names must in any case be of the same kind as the node's own: no loopback address
	// of a remote node, no public one of a private one, and no link-local, multicast
	// or metadata address, unless MapAddress has made it.
	//
	// Default nil: with an Identity only configured addresses are followed, or, under
	// TLS, nodes whose certificate is made out to a configured host; without an
	// Identity every address that a node may name.
	Trust Trust

	// MaxConnections is the most connections open for requests at once, idle
	// ones included; default 10, at most 65,536. Watches do not count. Callers
	// beyond it wait in line. Raise it when Stats shows callers waiting while
	// the node has processors to spare; a node gains nothing from idle ones.
	MaxConnections int

	// ConnectTimeout bounds opening a connection: the dial, the TLS handshake
	// and the Identify exchange together; default 2 s.
	ConnectTimeout time.Duration

	// RequestTimeout is how long an exchange on an open connection may stand still:
	// it bounds the time from the first byte sent to the first of the answer, and begins
	// anew with each 16 KiB of a long one; default 2 s. Waiting for a free
	// connection is not part of it: that is bounded by the caller's context.
	// Raise it where pages are large, links slow or replication holds writes
	// up; a shorter deadline for one call belongs into its context.
	RequestTimeout time.Duration

	// IdleTimeout is how long an unused connection is kept; default 25 s. A
	// node closes connections that are silent for 30 s by default, so leave it
	// alone unless the node's limit differs, and stay well below that limit.
	IdleTimeout time.Duration

	// WatchLiveness is how long [Watch.Next] waits for a frame before it takes
	// the watch for dead; default 15 s, three of the node's heartbeats.
	WatchLiveness time.Duration

	// MaxRequestSize is the longest request body sent, in bytes; default
	// 10,000,000. Longer ones are refused with ErrTooLarge before anything is
	// sent. A node accepts 16 MiB by default and closes on more.
	MaxRequestSize int

	// MaxResponseSize is the longest answer accepted, in bytes, compressed or
	// not; default 64 MiB, which is the node's own default. The size must not
	// be lower than the node's limit: a longer page ends its connection.
	MaxResponseSize int

	// ResponseMemory bounds the bytes of answers longer than 1 MiB that are being received
	// and decoded at the same time, over all connections; default 4 times MaxResponseSize, at
	// least MaxResponseSize. An answer that finds no room waits, for at most
	// RequestTimeout (ErrResponseMemory). Decoded answers belong to the caller and are
	// not counted; one takes at most 32 MiB and 4 times the answer. A [Conn] has none to share.
	ResponseMemory int

	// PageBytes is the size ReadAll aims at for one page, in bytes; default
	// 1 MiB, at least 4 KiB. PageBytes bounds memory, not results.
	PageBytes int

	// ProtocolVersion is 2 or 3; default 2, the faster of the two. A node
	// answers each frame in the version it was asked in. Choose 3 to share
	// captures with tools that speak only the documented MessagePack form.
	ProtocolVersion int

	// TLS, when set, encrypts every connection; default plain text. A node
	// speaks one or the other, never both. The configuration must not be
	// changed afterwards.
	TLS *TLS

	// Identity, when set, supplies the credentials that every connection, those
	// of watches included, introduces itself with; default none. A node that
	// refuses them is never used without: operations fail with
	// msg.ErrUnauthorized. API keys travel in clear text where TLS is not set.
	Identity Identity

	// DisableCompression leaves out the anonymous Identify that fetches the
	// compression dictionary when a connection opens; nothing is compressed
	// then in either direction. Set it where the network is faster than zstd.
	// The option has no effect with Identity, which needs the Identify.
	DisableCompression bool

	// CompressLoopback fetches the dictionary from nodes at "localhost" or a
	// loopback address, too; by default nothing is compressed there, since that
	// costs both sides several times what it saves. Set it where such an address
	// is the near end of a tunnel. With Identity, TLS or DisableCompression it
	// has no effect.
	CompressLoopback bool

	// Dial opens connections; default resolves the host and tries its addresses side by
	// side, a new one every 250 ms. Dial serves in-memory nodes
	// and proxies, and is called with network "tcp", from several goroutines.
	Dial DialFunc

	// Hooks are called when something happens, for metrics and traces; default none.
	Hooks Hooks

	// Logger receives connection events at debug level and failures to connect
	// as warnings; nil means silence.
	Logger *slog.Logger
}

// withDefaults returns the options with zero fields replaced, or what is wrong
// with them.
func (o Options) withDefaults() (Options, error) {
	o.SeedAddresses = slices.Clone(o.SeedAddresses)
	if o.Address == "" && len(o.SeedAddresses) > 0 {
		o.Address = o.SeedAddresses[0]
	}
	o.MaxConnections = orDefault(o.MaxConnections, DefaultMaxConnections)
	o.ConnectTimeout = orDefault(o.ConnectTimeout, DefaultConnectTimeout)
	o.RequestTimeout = orDefault(o.RequestTimeout, DefaultRequestTimeout)
	o.IdleTimeout = orDefault(o.IdleTimeout, DefaultIdleTimeout)
	o.FailoverBudget = orDefault(o.FailoverBudget, DefaultFailoverBudget)
	o.WatchLiveness = orDefault(o.WatchLiveness, DefaultWatchLiveness)
	o.MaxRequestSize = orDefault(o.MaxRequestSize, DefaultMaxRequestSize)
	o.MaxResponseSize = orDefault(o.MaxResponseSize, DefaultMaxResponseSize)
	o.ResponseMemory = orDefault(o.ResponseMemory, int(min(4*int64(o.MaxResponseSize), math.MaxInt)))
	o.PageBytes = orDefault(o.PageBytes, DefaultPageBytes)
	o.ProtocolVersion = orDefault(o.ProtocolVersion, DefaultProtocolVersion)
	o.Address, o.SeedAddresses = strings.TrimSpace(o.Address), slices.Clone(o.SeedAddresses)
	for i, seed := range o.SeedAddresses {
		o.SeedAddresses[i] = strings.TrimSpace(seed)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	} else {
		o.Logger = slog.New(guardedHandler{o.Logger.Handler()})
	}
	return o, o.check()
}

// addresses returns the configured nodes, each once.
func (o *Options) addresses() []string {
	var all []string
	if o.Address != "" {
		all = []string{o.Address}
	}
	for _, seed := range o.SeedAddresses {
		if !slices.Contains(all, seed) {
			all = append(all, seed)
		}
	}
	return all
}

func (o Options) check() error {
	if len(o.SeedAddresses) > maxSeeds {
		return &OptionError{Option: "SeedAddresses", Value: fmt.Sprintf("%d addresses", len(o.SeedAddresses)), Limit: fmt.Sprintf("at most %d", maxSeeds)}
	}
	if o.Address == "" && len(o.SeedAddresses) == 0 {
		return &OptionError{Option: "Address", Value: `""`, Limit: `must be "host:port", unless there are SeedAddresses`}
	}
	for i, address := range append([]string{o.Address}, o.SeedAddresses...) {
		option := "SeedAddresses"
		if i == 0 {
			if option = "Address"; address == "" {
				continue
			}
		}
		if _, problem := cleanAddress(address); problem != "" {
			return &OptionError{Option: option, Value: fmt.Sprintf("%q", address), Limit: problem}
		}
	}
	for _, n := range []struct {
		option     string
		value      int
		low, limit int
	}{
		{"MaxConnections", o.MaxConnections, 1, maxConnections},
		{"MaxRequestSize", o.MaxRequestSize, smallestSizeCap, largestSizeCap},
		{"MaxResponseSize", o.MaxResponseSize, smallestSizeCap, largestSizeCap},
		{"ResponseMemory", o.ResponseMemory, o.MaxResponseSize, math.MaxInt},
		{"PageBytes", o.PageBytes, smallestPageSize, largestSizeCap},
		{"ProtocolVersion", o.ProtocolVersion, int(wire.V2), int(wire.V3)},
	} {
		if n.value < n.low || n.value > n.limit {
			return &OptionError{Option: n.option, Value: fmt.Sprint(n.value), Limit: fmt.Sprintf("must lie in %d to %d", n.low, n.limit)}
		}
	}
	for _, d := range []struct {
		option string
		value  time.Duration
	}{
		{"ConnectTimeout", o.ConnectTimeout},
		{"RequestTimeout", o.RequestTimeout},
		{"IdleTimeout", o.IdleTimeout},
		{"FailoverBudget", o.FailoverBudget},
		{"WatchLiveness", o.WatchLiveness},
	} {
		if d.value < shortestInterval {
			return &OptionError{Option: d.option, Value: d.value.String(), Limit: fmt.Sprintf("must be at least %v; a number alone counts nanoseconds", shortestInterval)}
		}
	}
	return nil
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// guardedHandler keeps a handler of the user's from ending more than its own record.
type guardedHandler struct{ slog.Handler }

func (h guardedHandler) Handle(ctx context.Context, r slog.Record) error {
	defer func() { _ = recover() }()
	return h.Handler.Handle(ctx, r)
}

func (h guardedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return guardedHandler{h.Handler.WithAttrs(attrs)}
}

func (h guardedHandler) WithGroup(name string) slog.Handler {
	return guardedHandler{h.Handler.WithGroup(name)}
}
