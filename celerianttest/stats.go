package celerianttest

import (
	"maps"
	"sync"

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

// counters is the live form of Stats.
type counters struct {
	mu    sync.Mutex
	stats Stats
}

// count changes the counters.
func (c *counters) count(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

func (c *counters) request(t msg.RequestType, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Requests == nil {
		c.stats.Requests = make(map[msg.RequestType]uint64)
	}
	c.stats.Requests[t]++
	c.stats.FramesIn++
	c.stats.BytesIn += uint64(bytes)
}

func (c *counters) written(frames, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.FramesOut += uint64(frames)
	c.stats.BytesOut += uint64(bytes)
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Requests = maps.Clone(s.Requests)
	return s
}
