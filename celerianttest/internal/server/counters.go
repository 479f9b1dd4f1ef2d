package server

import (
	"sync/atomic"

	"github.com/celeriant/celeriant-go/msg"
)

// Counters is the live form of Stats. Each counter is exact; a snapshot taken
// while the node works need not be one instant of all of them.
type Counters struct {
	Connections, Watches, Accepted, Cuts atomic.Int64
	Requests                             [msg.TypeIdentifyRequest + 1]atomic.Uint64
	FramesOut, BytesIn, BytesOut         atomic.Uint64
	Verdicts                             atomic.Uint64
}

// request counts a request of a known type.
func (c *Counters) request(t msg.RequestType, bytes int) {
	c.Requests[t].Add(1)
	c.BytesIn.Add(uint64(bytes))
}

func (c *Counters) written(frames, bytes int) {
	c.FramesOut.Add(uint64(frames))
	c.BytesOut.Add(uint64(bytes))
}
