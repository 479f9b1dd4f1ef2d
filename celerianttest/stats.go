package celerianttest

import (
	"sync/atomic"

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

// counters is the live form of Stats. Each counter is exact; a snapshot taken
// while the node works need not be one instant of all of them.
type counters struct {
	connections, watches, accepted, cuts atomic.Int64
	requests                             [msg.TypeIdentifyRequest + 1]atomic.Uint64
	framesOut, bytesIn, bytesOut         atomic.Uint64
	verdicts                             atomic.Uint64
}

// request counts a request of a known type.
func (c *counters) request(t msg.RequestType, bytes int) {
	c.requests[t].Add(1)
	c.bytesIn.Add(uint64(bytes))
}

func (c *counters) written(frames, bytes int) {
	c.framesOut.Add(uint64(frames))
	c.bytesOut.Add(uint64(bytes))
}

func (c *counters) snapshot() Stats {
	s := Stats{
		Connections: int(c.connections.Load()), Watches: int(c.watches.Load()),
		Accepted: int(c.accepted.Load()), Cuts: int(c.cuts.Load()),
		Requests:  make(map[msg.RequestType]uint64),
		FramesOut: c.framesOut.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Verdicts: c.verdicts.Load(),
	}
	for t := range c.requests {
		if n := c.requests[t].Load(); n > 0 {
			s.Requests[msg.RequestType(t)] = n
			s.FramesIn += n
		}
	}
	return s
}
