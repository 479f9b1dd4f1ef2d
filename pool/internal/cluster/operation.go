package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
	"github.com/celeriant/celeriant-go/pool/internal/node"
)

// The pauses between rounds over the members. Mutations are sent to them whole, so
// their rounds become rarer; those of reads are searches for the leader, of which
// there is one at a time for all callers, or end at the breaker.
const (
	shortestPause    = 50 * time.Millisecond
	longestPause     = time.Second
	longestReadPause = 65 * time.Millisecond // varied by half: at most 100 ms
)

// Operation is what is to be done, and where.
type Operation struct {
	Request msg.Request
	Route   Route
	Timeout time.Duration // of each attempt; 0: the RequestTimeout
}

// operation is one operation on its way over the members.
type operation struct {
	Operation
	cluster *Cluster
	ctx     context.Context
	do      func(*member) conn.Attempt // nil: the request
	resp    msg.Response
	log     attempts
	last    conn.Attempt // the latest one
	bound   *member      // the only one a repetition may go to
	pace    backoff.BackOff
	began   time.Time // when the first attempt, or search, had failed
}

// Do performs a request. The failure is nil after success.
func (c *Cluster) Do(ctx context.Context, o Operation) (resp msg.Response, tries Tries, failure *Failure) {
	op := &operation{Operation: o, cluster: c, ctx: ctx}
	var err error
	if o.Request.RequestType().Mutates() && o.Route.Node == "" {
		err = op.mutate()
	} else {
		err = op.serve()
	}
	if err != nil {
		return nil, op.log.tried, op.failure(err)
	}
	return op.resp, op.log.tried, nil
}

// Watch opens a watch where reads go.
func (c *Cluster) Watch(ctx context.Context, o Operation) (w *conn.Watch, tries Tries, failure *Failure) {
	op := &operation{Operation: o, cluster: c, ctx: ctx}
	op.do = func(m *member) (a conn.Attempt) {
		w, a = m.Watch(ctx, o.Request.(*msg.WatchRequest), op)
		return a
	}
	if err := op.serve(); err != nil {
		return nil, op.log.tried, op.failure(err)
	}
	return w, op.log.tried, nil
}

// Choose returns the address of a node for a series of reads that must go to one. A
// follower has to answer test first; a leader has proved itself.
func (c *Cluster) Choose(ctx context.Context, route Route, test func() msg.Request, passed func(error) bool) (address string, failure *Failure) {
	op := &operation{Operation: Operation{Route: route}, cluster: c, ctx: ctx}
	op.do = func(m *member) conn.Attempt {
		address = m.Address()
		if test == nil || !op.toFollowers() {
			return conn.Attempt{Node: address}
		}
		_, a := m.Do(ctx, test(), node.Call{Recorder: op})
		if passed(a.Err) {
			a.Err = nil
		}
		return a
	}
	if err := op.serve(); err != nil {
		return "", op.failure(err)
	}
	return address, nil
}

// at performs the operation at a member, once.
func (op *operation) at(m *member) conn.Attempt {
	if op.do != nil {
		return op.do(m)
	}
	resp, a := m.Do(op.ctx, op.Request, node.Call{Shard: op.cluster.config.Shard(op.Request), Timeout: op.Timeout, Recorder: op})
	op.resp = resp
	return a
}

// Record takes note of an attempt that had a connection.
func (op *operation) Record(a conn.Attempt) {
	if a.Connected {
		op.log.note(a)
		if event := op.cluster.config.Events.Attempt; event != nil {
			event(a)
		}
	}
}

// try makes one attempt at a member.
func (op *operation) try(m *member) conn.Attempt {
	a := conn.Attempt{Node: m.Address()}
	if op.Request != nil {
		a.Operation = op.Request.RequestType()
	}
	if op.Route.Node == "" && op.bound == nil && !op.cluster.singleNode() {
		a.Err = m.Await(op.ctx)
	}
	if a.Err == nil {
		a = op.at(m)
	}
	if a.Err != nil && !a.Connected {
		op.log.note(a)
	}
	op.cluster.evidence(op.ctx, m, a)
	if a.Err != nil && op.began.IsZero() {
		op.began = time.Now()
	}
	op.last = a
	return a
}

func (op *operation) mutates() bool {
	return op.Request != nil && op.Request.RequestType().Mutates()
}

// mutate sends a mutation to member after member until one takes it, or refuses it for
// good, or the failover budget is spent.
func (op *operation) mutate() error {
	first, err := op.start()
	if err != nil {
		return err
	}
	for {
		survivor, err := op.round(first)
		if err == nil || survivor == nil {
			return err
		}
		if op.bound != nil && errors.Is(op.last.Err, conn.ErrRequestTimeout) {
			op.cluster.searchSince(time.Now()) // it goes on in the background
		}
		if err := op.pause(); err != nil {
			return err
		}
		if op.bound != nil && op.cluster.leadsInstead(op.bound) {
			return err // the leader is lost, and with it what it knew
		}
		first = survivor
	}
}

// start is where a mutation begins: at the leader last confirmed. Behind one that
// has not answered the members are asked who leads, lest mutations that must not be
// repeated end there one after the other.
func (op *operation) start() (*member, error) {
	c := op.cluster
	if first := c.leaderKnown(); first != nil || c.singleNode() || !c.uncertain.Load() {
		return first, nil
	}
	for {
		found, err := c.findLeader(op.ctx)
		op.learn(found)
		if err != nil || found.leader != nil || found.hidden {
			return found.leader, err
		}
		if err := op.pause(); err != nil {
			return nil, err
		}
	}
}

// round offers the mutation to every member once. survivor is where to begin the
// next round, nil when there must be none.
func (op *operation) round(first *member) (survivor *member, err error) {
	c := op.cluster
	w := c.newWalk(first)
	for m := w.next(); m != nil; m = w.next() {
		if len(w.visited) > 1 && op.overBudget(0) {
			return nil, op.spent()
		}
		a := op.try(m)
		if a.Err == nil {
			c.confirm(m)
			return nil, nil
		}
		if op.ctx.Err() != nil {
			return nil, a.Err
		}
		switch d := decide(op.Request, a); {
		case d == stop:
			return nil, a.Err
		case d == again, op.bound != nil && errors.Is(a.Err, msg.ErrBusy):
			if a.Applied == conn.AppliedUnknown && repeatability(op.Request) == sameNode {
				op.bound = m
			}
			return m, a.Err
		case op.bound != nil:
			return nil, a.Err // the leader is lost, and with it what it knew
		}
		if a.Answered {
			if errors.Is(a.Err, msg.ErrNotLeader) {
				w.follow(m, a)
				survivor = m // it answers, and may be the next leader
			}
			if !errors.Is(a.Err, msg.ErrBusy) {
				c.doubt(m)
			}
		}
		err = a.Err
	}
	if c.singleNode() && !op.log.unsure && unreachable(err) {
		return nil, err // there is nobody to fail over to
	}
	if survivor == nil {
		survivor = c.nodes()[0]
	}
	return survivor, err
}

// learn keeps what nodes said to whoever looked for the leader.
func (op *operation) learn(found finding) {
	for _, a := range found.attempts {
		op.log.keep(a)
	}
}

// tlsRefusedEverywhere reports whether there is no node left that might do better next
// time.
func (op *operation) tlsRefusedEverywhere() bool {
	for _, m := range op.cluster.nodes() {
		refused := false
		for _, a := range op.log.failed {
			refused = refused || a.Node == m.Address() && errors.Is(a.Err, conn.ErrTLS)
		}
		if !refused {
			return false
		}
	}
	return true
}

// overBudget reports whether the failover budget is spent when so much more time has
// passed.
func (op *operation) overBudget(wait time.Duration) bool {
	return !op.began.IsZero() && time.Since(op.began)+wait > op.cluster.config.FailoverBudget
}

// spent is the error when it is.
func (op *operation) spent() error {
	return &budgetError{op.cluster.config.FailoverBudget, op.log.representative()}
}

// pause waits between rounds; the error says why there is no further one.
func (op *operation) pause() error {
	c := op.cluster
	if op.tlsRefusedEverywhere() {
		return fmt.Errorf("%w with any node: %w", conn.ErrTLS, op.log.failed[0].Err)
	}
	if op.pace == nil {
		longest := longestReadPause
		if op.mutates() {
			longest = longestPause
		}
		op.pace = newPace(longest)
	}
	if op.began.IsZero() {
		op.began = time.Now()
	}
	wait := op.pace.NextBackOff()
	if op.overBudget(wait) {
		return op.spent()
	}
	if c.config.Events.Retry != nil && op.Request != nil {
		c.config.Events.Retry(op.Request.RequestType(), op.last, wait)
	}
	err := sleep(op.ctx, c.ctx, wait)
	if last := op.log.representative(); err != nil && last != nil {
		return &waitError{err, last}
	}
	return err
}

// sleep waits, unless the caller leaves or the cluster closes.
func sleep(ctx, life context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return conn.Ended(ctx)
	case <-life.Done():
		return conn.ErrClosed
	}
}

func newPace(longest time.Duration) backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(shortestPause), backoff.WithMultiplier(2), backoff.WithMaxInterval(longest),
		backoff.WithRandomizationFactor(0.5), backoff.WithMaxElapsedTime(0))
}

// failure is that of the whole operation.
func (op *operation) failure(err error) *Failure {
	f := &Failure{Err: err, Attempts: op.log.failed, Omitted: op.log.omitted, Tries: op.log.tried.Made, Sent: op.log.sent, Unsure: op.log.unsure}
	if op.last.Err == err { // the cause is what the last attempt met
		f.Node = op.last.Node
	}
	return f
}

// Pace is a pause for repeating reads, as between rounds.
type Pace struct {
	pace  backoff.BackOff
	began time.Time
}

// Pause waits; false when the budget is spent or ctx ends.
func (p *Pace) Pause(ctx context.Context, budget time.Duration) bool {
	if p.pace == nil {
		p.pace, p.began = newPace(longestReadPause), time.Now()
	}
	wait := p.pace.NextBackOff()
	return time.Since(p.began)+wait <= budget && sleep(ctx, context.Background(), wait) == nil
}
