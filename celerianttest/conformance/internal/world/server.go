package world

import "time"

// Server is the server to test: a Target whose defaults are set.
type Server struct {
	Addresses                    []string
	Kill, Restart, Pause, Resume func(address string) error
	EnforcesJSONSchema           bool
	MaxResponseSize              int
	StreamVersion                int
	Heartbeat                    time.Duration
	LatencyBound, Storm, Rest    time.Duration
	Followers, Lenient           bool
	Seed                         uint64
}

// Kills reports whether nodes can be killed and restarted.
func (s Server) Kills() bool { return s.Kill != nil && s.Restart != nil }

// Pauses reports whether nodes can be paused and resumed.
func (s Server) Pauses() bool { return s.Pause != nil && s.Resume != nil }

// Pair reports whether there is more than one node.
func (s Server) Pair() bool { return len(s.Addresses) > 1 }
