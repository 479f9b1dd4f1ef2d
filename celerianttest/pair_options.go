package celerianttest

import (
	"cmp"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/cluster"
)

// PairOptions configure two nodes. The zero value is a pair on free ports of
// 127.0.0.1 that behaves like the reference server with its default settings.
type PairOptions struct {
	// Options are those of both nodes. Address is where node A listens. A pair
	// keeps its data in memory: DataRoot cannot be used.
	Options
	// AddressB is where node B listens; default "127.0.0.1:0". With InMemory
	// the addresses are names only, by default "node-a:10000" and "node-b:10000".
	AddressB string

	// Lag is how long after the last commit the follower hears of it, when no
	// next batch tells it earlier; default 272 ms, none if negative. [Pair.SetLag]
	// changes it. Server semantics 9.2.
	Lag time.Duration
	// Takeover is how long a pair is without a leader that works before the
	// other node is promoted; default 1 s.
	Takeover time.Duration
	// Rejoin is how long a node that was started, resumed or deposed takes to
	// follow the leader; default 400 ms. The node learns who leads in half that
	// time.
	Rejoin time.Duration
	// NoFallback takes away the object store a leader without a follower keeps
	// its batches in: changes then wait for the follower, and are answered with
	// an unknown outcome after 30 s.
	NoFallback bool

	// RestartSilence is how long a restarted node accepts connections and
	// answers nothing; default 0.
	RestartSilence time.Duration
	// RestartBehind is how long a restarted follower shows nothing new, without
	// an error; default 0.
	RestartBehind time.Duration
	// RestartRepeats makes a restarted follower hold the newest batches it had
	// twice.
	RestartRepeats bool
	// SteadyRestarts switches off what Quirks do to restarts: each of the three
	// accidents above that is not set happens by chance, from Seed, at one
	// restart in four, with up to 11 s of silence and 40 s behind. Server
	// semantics 9.5.
	SteadyRestarts bool
}

const (
	defaultLag      = 272 * time.Millisecond
	defaultTakeover = time.Second
	defaultRejoin   = 400 * time.Millisecond

	longestSilence = 11 * time.Second
	longestBehind  = 40 * time.Second
	accidentOdds   = 4

	// replicationTimeout is how long a leader holds a change that is nowhere
	// but on its own disk. Server semantics 3.4.
	replicationTimeout = 30 * time.Second
)

// Hint says what a node that does not lead tells about the leader: one of the
// constants below, or an address to name.
type Hint string

// The hints that the nodes of a pair give about the leader.
const (
	// HintLive is what the reference server tells: the other node, also while
	// that one is dead and not yet replaced; nothing after a start or a
	// deposition until the node has learnt who leads.
	HintLive Hint = cluster.HintLive
	// HintAbsent tells nothing.
	HintAbsent Hint = cluster.HintAbsent
	// HintStale names the very node that is asked, as if it still led.
	HintStale Hint = cluster.HintStale
)

// PairError says why a pair cannot do what was asked.
type PairError struct {
	// Op is what was asked, such as "fail over".
	Op string
	// Reason names the node and its state.
	Reason string
}

// Error returns both.
func (e *PairError) Error() string { return fmt.Sprintf("celerianttest: %s: %s", e.Op, e.Reason) }

func (o PairOptions) complete() (PairOptions, error) {
	o.Lag = max(cmp.Or(o.Lag, defaultLag), 0)
	o.Takeover = cmp.Or(o.Takeover, defaultTakeover)
	o.Rejoin = cmp.Or(o.Rejoin, defaultRejoin)
	if o.InMemory {
		o.Address = cmp.Or(o.Address, "node-a:10000")
		o.AddressB = cmp.Or(o.AddressB, "node-b:10000")
	}
	switch {
	case o.DataRoot != "":
		return o, &OptionError{"DataRoot", "a pair keeps its data in memory"}
	case o.InMemory && o.Address == o.AddressB:
		return o, &OptionError{"AddressB", "is the address of node A"}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"Takeover", o.Takeover}, {"Rejoin", o.Rejoin},
		{"RestartSilence", o.RestartSilence}, {"RestartBehind", o.RestartBehind},
	} {
		if d.value < 0 {
			return o, &OptionError{d.name, "must not be negative"}
		}
	}
	return o, nil
}
