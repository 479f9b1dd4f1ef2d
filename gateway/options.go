package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/stats"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/access"
	"github.com/celeriant/celeriant-go/msg"
)

// Options shape a server. The zero value of each field means its default.
type Options struct {
	// Authenticator names callers. Default: every caller is "anonymous". Do not
	// listen beyond loopback without one.
	Authenticator access.Authenticator
	// Authorizer decides what callers may do. Default: everything.
	Authorizer access.Authorizer
	// TLS encrypts. Default: plain text. For client certificates set ClientAuth
	// to tls.VerifyClientCertIfGiven or stricter, and ClientCAs to authorities of
	// the gateway's own.
	TLS *tls.Config
	// Checkpoints keeps the positions of named subscriptions. Default: none, and
	// named subscriptions are refused.
	Checkpoints checkpoint.Store
	// Writes offers the command service. Default: reads and subscriptions only.
	Writes bool
	// ProvenClientID is the client id that the gateway's own RSA identity proves
	// to the nodes, which accept no other then. All callers write under it, and
	// enforced client sequences are refused, because they would collide.
	ProvenClientID msg.Opt[msg.ID]
	// Reflection describes the services to authenticated callers. Default: off.
	Reflection bool
	// Name is what the gateway calls itself in Opened. Default "celeriant-gateway".
	Name string
	// Logger receives what happens. Default: none.
	Logger *slog.Logger
	// Audit receives one line for each denial and each change of data: principal,
	// call, resource and decision. Default: Logger.
	Audit *slog.Logger
	// Hooks are told of calls and streams. Default: none.
	Hooks Hooks
	// StatsHandler is told by gRPC of each connection and call, for traces of calls: a
	// handler of otelgrpc, with a filter that leaves Subscribe out, whose span would end
	// after days. Default: none.
	StatsHandler stats.Handler
	// Limits bound what callers take.
	Limits Limits
	// Reauthorize is how often running streams are authorized again; default one
	// minute. A change that the authenticator or authorizer tells of counts at once.
	Reauthorize time.Duration
	// DrainDelay is how long a server that shuts down still accepts streams, while
	// health says that it is not serving; default 5 s, negative for none.
	DrainDelay time.Duration
	// DrainWindow is the time over which streams are asked to leave; default 30 s,
	// negative for none.
	DrainWindow time.Duration
	// DrainGrace is how long a stream that was asked to leave may acknowledge;
	// default 10 s.
	DrainGrace time.Duration
	// MaxStreamAge is when a stream is asked to reconnect, so that load spreads
	// over gateways; varied by a tenth. Default one hour.
	MaxStreamAge time.Duration
}

// Limits bound what callers take. The zero value of each field means its default.
type Limits struct {
	// StreamsPerConnection bounds the calls at work on one connection; default 100.
	StreamsPerConnection uint32
	// StreamsPerCaller bounds the subscriptions of one principal; default 1,000.
	StreamsPerCaller int
	// ConnectionsPerAddress bounds the connections from one address; default 1,000.
	ConnectionsPerAddress int
	// CatchUps bounds the subscriptions that catch up at a time, and
	// CatchUpsPerCaller those of one principal; default 8 and 2. Others wait in
	// the state Queued. A subscription gives its place back when it is live or
	// when its client is slower than it.
	CatchUps, CatchUpsPerCaller int
	// MessageBytes bounds a message received; default 4 MiB.
	MessageBytes int
	// HeaderBytes bounds the headers of a call; default 16 KiB.
	HeaderBytes uint32
	// ScopeMembers bounds the members of a scope; default 1,000.
	ScopeMembers int
	// OutstandingChanges and OutstandingBytes bound the credit a client may ask
	// for; default 100,000 and 64 MiB.
	OutstandingChanges int
	OutstandingBytes   int64
	// Positions bounds the aggregates whose positions a stream without a stored
	// position makes the gateway remember; default 1,000,000.
	Positions int
	// Verifications bounds how many stored positions that turn out not to match
	// are followed up per caller and second; default 100. Ten times as many are
	// allowed at once.
	Verifications int
}

// OptionError refuses an option.
type OptionError struct{ Option, Value, Limit string }

// Error names the option, its value and what is wanted.
func (e *OptionError) Error() string {
	return fmt.Sprintf("gateway: option %s is %s: %s", e.Option, e.Value, e.Limit)
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func (o Options) withDefaults() (Options, error) {
	l := &o.Limits
	l.StreamsPerConnection = orDefault(l.StreamsPerConnection, 100)
	l.StreamsPerCaller = orDefault(l.StreamsPerCaller, 1000)
	l.ConnectionsPerAddress = orDefault(l.ConnectionsPerAddress, 1000)
	l.CatchUps = orDefault(l.CatchUps, 8)
	l.CatchUpsPerCaller = orDefault(l.CatchUpsPerCaller, 2)
	l.MessageBytes = orDefault(l.MessageBytes, 4<<20)
	l.HeaderBytes = orDefault(l.HeaderBytes, 16<<10)
	l.ScopeMembers = orDefault(l.ScopeMembers, 1000)
	l.OutstandingChanges = orDefault(l.OutstandingChanges, 100_000)
	l.OutstandingBytes = orDefault(l.OutstandingBytes, 64<<20)
	l.Positions = orDefault(l.Positions, 1_000_000)
	l.Verifications = orDefault(l.Verifications, 100)
	for _, n := range []struct {
		option string
		value  int64
	}{
		{"Limits.StreamsPerCaller", int64(l.StreamsPerCaller)}, {"Limits.ConnectionsPerAddress", int64(l.ConnectionsPerAddress)},
		{"Limits.CatchUps", int64(l.CatchUps)}, {"Limits.CatchUpsPerCaller", int64(l.CatchUpsPerCaller)},
		{"Limits.MessageBytes", int64(l.MessageBytes)}, {"Limits.ScopeMembers", int64(l.ScopeMembers)},
		{"Limits.OutstandingChanges", int64(l.OutstandingChanges)}, {"Limits.OutstandingBytes", l.OutstandingBytes},
		{"Limits.Positions", int64(l.Positions)}, {"Limits.Verifications", int64(l.Verifications)},
	} {
		if n.value < 0 {
			return o, &OptionError{n.option, fmt.Sprint(n.value), "want a positive number"}
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Audit == nil {
		o.Audit = o.Logger
	}
	o.Name = orDefault(o.Name, "celeriant-gateway")
	o.Reauthorize = orDefault(o.Reauthorize, time.Minute)
	o.DrainDelay = max(0, orDefault(o.DrainDelay, 5*time.Second))
	o.DrainWindow = max(0, orDefault(o.DrainWindow, 30*time.Second))
	o.DrainGrace = orDefault(o.DrainGrace, 10*time.Second)
	o.MaxStreamAge = orDefault(o.MaxStreamAge, time.Hour)
	for _, d := range []struct {
		option string
		value  time.Duration
	}{{"Reauthorize", o.Reauthorize}, {"DrainGrace", o.DrainGrace}, {"MaxStreamAge", o.MaxStreamAge}} {
		if d.value < 0 {
			return o, &OptionError{d.option, d.value.String(), "want a positive time"}
		}
	}
	return o, nil
}
