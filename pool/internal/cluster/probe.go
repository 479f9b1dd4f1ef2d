package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// probeResult reads the answer to a probe.
type probeResult uint8

const (
	probeSilent  probeResult = iota // no answer, or not the leader
	probeLeads                      // only a leader answers this
	probeHidden                     // the credentials hide it
	probeRefused                    // the credentials are no good
)

// judgeProbe reads the answer to the probe: a node checks leadership after the
// credentials and before load and content. Server semantics 3.1.
func judgeProbe(a conn.Attempt) probeResult {
	if a.Err == nil {
		return probeLeads
	}
	if errors.Is(a.Err, conn.ErrCredentials) {
		return probeRefused
	}
	var refusal *msg.ServerError
	if !errors.As(a.Err, &refusal) || errors.Is(a.Err, conn.ErrConnect) {
		return probeSilent
	}
	switch refusal.Code {
	case msg.CodeEmptyEvents, msg.CodeWriteBackpressure:
		return probeLeads
	case msg.CodeWriteNotLeader, msg.CodeServerBusy:
		return probeSilent
	}
	if refusal.Code.Class() == msg.ClassAuth && refusal.Code != msg.CodeReadOnlyKey && refusal.Code != msg.CodeClientIDMismatch {
		return probeRefused
	}
	return probeHidden
}

// ask sends a write of no events: a leader answers that it is empty, everybody else that
// it is no leader, and nothing is changed.
func (c *Cluster) ask(ctx context.Context, m *member) conn.Attempt {
	for try := 0; ; try++ {
		writer, proven := c.config.ProbeAs()
		_, a := m.Do(ctx, &msg.WriteRequest{
			ClientID: writer,
			Writes:   []msg.AggregateWrite{{Key: node.ProbeKey, DenyCreate: true}},
		}, node.Call{Recorder: probeRecorder{c}})
		var refusal *msg.ServerError
		if try == 0 && !proven && errors.As(a.Err, &refusal) && refusal.Code == msg.CodeClientIDMismatch {
			continue // the first connection has proved the id meanwhile
		}
		return a
	}
}

// probeRecorder tells the hook of a probe; the hook is the user's, and the goroutine
// often is not.
type probeRecorder struct{ c *Cluster }

func (r probeRecorder) Record(a conn.Attempt) {
	if r.c.config.Events.Attempt != nil && a.Connected {
		defer func() { _ = recover() }()
		r.c.config.Events.Attempt(a)
	}
}

// probe is one question in the background, shared by all who want to know.
type probe struct {
	began   time.Time
	done    chan struct{} // closed when the rest is set
	attempt conn.Attempt
	result  probeResult
}

// probeInBackground asks m whether it leads, unless it is being asked.
func (c *Cluster) probeInBackground(m *member) *probe {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.probe != nil {
		return m.probe
	}
	p := &probe{began: time.Now(), done: make(chan struct{})}
	m.probe = p
	go c.runProbe(m, p)
	return p
}

func (c *Cluster) runProbe(m *member, p *probe) {
	p.attempt = conn.Unsent(m.Address(), msg.TypeWriteRequest, conn.ErrConnectionLost)
	defer close(p.done)
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.probe = nil
	}()
	ctx, cancel := context.WithTimeout(c.ctx, 2*c.config.RequestTimeout) // a wait in line, and an exchange
	defer cancel()
	p.attempt = c.ask(ctx, m)
	p.result = judgeProbe(p.attempt)
	c.probed(m, p)
}

// probed draws the conclusions of a probe.
func (c *Cluster) probed(m *member, p *probe) {
	switch {
	case c.ctx.Err() != nil:
	case p.result == probeLeads:
		m.silent.Store(false)
		// A node that was paused may answer out of the past.
		if l := c.leader.Load(); l == nil || l.member == m || l.at.Before(p.began) {
			c.confirm(m)
		}
	case p.attempt.Answered:
		m.silent.Store(false)
		if p.result != probeHidden {
			c.doubt(m)
		}
	case p.attempt.Sent, unreachable(p.attempt.Err): // not that all connections are in use
		c.doubt(m)
	}
}

// Leads asks the node at an address whether it leads, at this moment. A node that is no
// member stays none.
func (c *Cluster) Leads(ctx context.Context, address string) (Leadership, error) {
	m, err := c.at(address)
	if err != nil {
		return LeadershipUnknown, err
	}
	a := c.ask(ctx, m)
	c.evidence(ctx, m, a)
	member := find(c.nodes(), address) == m
	switch judgeProbe(a) {
	case probeLeads:
		if member {
			c.confirm(m)
		}
		return Leading, nil
	case probeHidden:
		if member && c.singleNode() {
			return Leading, nil
		}
		return LeadershipUnknown, nil
	}
	if ctx.Err() == nil { // that the caller has left says nothing
		c.doubt(m)
	}
	var refusal *msg.ServerError
	if a.Answered && errors.As(a.Err, &refusal) && errors.Is(refusal, msg.ErrNotLeader) {
		if member {
			c.hinted(m, a.Err)
		}
		return Following, nil
	}
	return LeadershipUnknown, fmt.Errorf("no word on it: %w", a.Err)
}
