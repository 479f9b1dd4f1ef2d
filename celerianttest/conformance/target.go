package conformance

import (
	"testing"
	"time"
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

// Hooks disturb a node, named by its address. Any may be nil. They return when
// it is done; a restarted node need not serve yet.
type Hooks struct {
	// Kill ends the node's process without warning; Restart starts it again on
	// the same data.
	Kill, Restart func(address string) error
	// Pause stops the node's process while its sockets stay open; Resume lets
	// it go on.
	Pause, Resume func(address string) error
}

func (h Hooks) kills() bool  { return h.Kill != nil && h.Restart != nil }
func (h Hooks) pauses() bool { return h.Pause != nil && h.Resume != nil }

func (target Target) pair() bool { return len(target.Addresses) > 1 }

func (target Target) latencyBound() time.Duration {
	if target.LatencyBound > 0 {
		return target.LatencyBound
	}
	return 2 * time.Second
}

func (target Target) streamVersion() int {
	if target.StreamVersion > 0 {
		return target.StreamVersion
	}
	return 2
}

func (target Target) rest() time.Duration {
	if target.Rest > 0 {
		return target.Rest
	}
	return 200 * time.Millisecond
}

func (target Target) storm() time.Duration {
	if target.Storm > 0 {
		return target.Storm
	}
	return 1500 * time.Millisecond
}

// Run tests everything.
func Run(t *testing.T, target Target) {
	t.Helper()
	t.Run("Pool", func(t *testing.T) { Pool(t, target) })
	t.Run("Stream", func(t *testing.T) { Stream(t, target) })
}
