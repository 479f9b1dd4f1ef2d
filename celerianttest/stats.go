package celerianttest

import (
	"github.com/celeriant/celeriant-go/celerianttest/internal/server"
	"github.com/celeriant/celeriant-go/msg"
)

// Stats counts what a node did since it was started, across its restarts.
type Stats struct {
	// Connections and Watches are those open now.
	Connections, Watches int
	// Accepted counts all connections ever made.
	Accepted int
	// Requests counts the requests by type, as they arrived: also those that
	// were refused, or never executed because an interceptor kept them.
	Requests map[msg.RequestType]uint64
	// FramesIn and FramesOut count whole frames read and written, BytesIn and
	// BytesOut their bytes.
	FramesIn, FramesOut uint64
	BytesIn, BytesOut   uint64
	// Cuts counts the connections ended by CutConnections and by cut verdicts.
	Cuts int
	// Verdicts counts the frames an interceptor did not let pass unchanged.
	Verdicts uint64
}

func snapshot(c *server.Counters) Stats {
	s := Stats{
		Connections: int(c.Connections.Load()), Watches: int(c.Watches.Load()),
		Accepted: int(c.Accepted.Load()), Cuts: int(c.Cuts.Load()),
		Requests:  make(map[msg.RequestType]uint64),
		FramesOut: c.FramesOut.Load(), BytesIn: c.BytesIn.Load(), BytesOut: c.BytesOut.Load(),
		Verdicts: c.Verdicts.Load(),
	}
	for t := range c.Requests {
		if n := c.Requests[t].Load(); n > 0 {
			s.Requests[msg.RequestType(t)] = n
			s.FramesIn += n
		}
	}
	return s
}
