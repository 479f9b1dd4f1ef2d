package conformance

import (
	"cmp"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
)

// Target is the server to test.
type Target struct {
	// Addresses are the "host:port" of one node, or of all nodes of a cluster
	// in any order. Required.
	Addresses []string
	// Hooks do to nodes what a client cannot.
	Hooks Hooks
	// EnforcesJSONSchema tells that the server validates events against JSON
	// schemas; without it only their registration is tested.
	EnforcesJSONSchema bool
	// MaxResponseSize is the limit of the node's answers, in bytes, if it is set
	// to at most 1 MiB: only then a batch that cannot be read is written.
	MaxResponseSize int
	// StreamVersion is the version of the protocol that subscriptions speak, 2
	// or 3; default 2. Requests are tested in both.
	StreamVersion int
	// Heartbeat is how long a watch of the server is quiet before it sends an empty
	// frame; default 5 s.
	Heartbeat time.Duration
	// LatencyBound is how much later than asked for a live change may come in
	// an idle second; default 2 s.
	LatencyBound time.Duration
	// Storm is how long each storm lasts; default 1.5 s.
	Storm time.Duration
	// Rest is how long a cluster is left alone, once all its nodes follow, before
	// its leader is disturbed again; default 200 ms. The reference server needs
	// seconds: a follower that has just come back, and whose leader is lost,
	// may never lead.
	Rest time.Duration
	// Followers lets the storms over a cluster pass over subscriptions that watch
	// followers, too.
	Followers bool
	// Lenient makes it no failure, only a line in the log, where the server
	// itself went against the protocol in a storm.
	Lenient bool
	// Seed decides what storms do; equal seeds need not lead to equal runs,
	// since the server has a pace of its own.
	Seed uint64
}

// Hooks disturb a node, named by its address. Any may be nil. Hooks return when
// it is done; a restarted node need not serve yet.
type Hooks struct {
	// Kill ends the node's process without warning; Restart starts it again on
	// the same data.
	Kill, Restart func(address string) error
	// Pause stops the node's process while its sockets stay open; Resume lets
	// it go on.
	Pause, Resume func(address string) error
}

func (target Target) server() world.Server {
	return world.Server{
		Addresses: target.Addresses,
		Kill:      target.Hooks.Kill, Restart: target.Hooks.Restart, Pause: target.Hooks.Pause, Resume: target.Hooks.Resume,
		EnforcesJSONSchema: target.EnforcesJSONSchema, MaxResponseSize: target.MaxResponseSize,
		StreamVersion: cmp.Or(max(target.StreamVersion, 0), 2), Heartbeat: cmp.Or(max(target.Heartbeat, 0), 5*time.Second),
		LatencyBound: cmp.Or(max(target.LatencyBound, 0), 2*time.Second),
		Storm:        cmp.Or(max(target.Storm, 0), 1500*time.Millisecond), Rest: cmp.Or(max(target.Rest, 0), 200*time.Millisecond),
		Followers: target.Followers, Lenient: target.Lenient, Seed: target.Seed,
	}
}

// Run tests everything.
func Run(t *testing.T, target Target) {
	t.Helper()
	t.Run("Pool", func(t *testing.T) { Pool(t, target) })
	t.Run("Stream", func(t *testing.T) { Stream(t, target) })
}
