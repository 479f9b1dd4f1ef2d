package node

import (
	"context"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// Reads makes several reads on one connection, one behind the other, and returns an
// attempt for each. Reads is one try: nothing is repeated here, and of those that were
// not answered the recorder hears of the first only.
func (n *Node) Reads(ctx context.Context, reads []*conn.PageRequest, call Call) []conn.Attempt {
	if call.Timeout == 0 {
		call.Timeout = n.config.RequestTimeout
	}
	c, err := n.acquire(ctx, wanted{shard: call.Shard, repeatable: true})
	if err != nil {
		attempts := make([]conn.Attempt, len(reads))
		for i := range attempts {
			attempts[i] = conn.Unsent(n.Address(), msg.TypeReadRequest, err)
		}
		call.Recorder.Record(attempts[0])
		return attempts
	}
	reused, began := c.reused, time.Now()
	attempts := n.pipeline(ctx, c, reads, call)
	if reused && idleDied(ctx, attempts[0]) {
		n.dropIdle(began) // they have been idle as long
	}
	for _, a := range attempts {
		if call.Recorder.Record(a); !a.Answered {
			break
		}
	}
	return attempts
}

// pipeline is reads on one connection, given back whatever happens.
func (n *Node) pipeline(ctx context.Context, c *leased, reads []*conn.PageRequest, call Call) []conn.Attempt {
	defer n.release(c)
	c.setShard(call.Shard)
	began := time.Now()
	attempts := c.Reads(ctx, reads, call.Timeout)
	last := 0 // of those that count
	for last < len(attempts)-1 && attempts[last].Answered {
		last++
	}
	n.judge(c, began, &attempts[last])
	return attempts
}
