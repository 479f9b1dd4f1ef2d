package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/celeriant/celeriant-go/msg"
)

// The intervals between rounds over the nodes. Mutations are sent to them whole,
// so their rounds become rarer; those of reads are searches for the leader, of
// which there is one at a time for all callers, or end at the breaker.
const (
	shortestRest    = 50 * time.Millisecond
	longestRest     = time.Second
	longestReadRest = 65 * time.Millisecond // varied by half: at most 100 ms
)

// journey is one operation on its way over the nodes.
type journey struct {
	pool *Pool
	ctx  context.Context
	req  msg.Request

	attempts []Attempt // the latest of each node
	sent     bool      // some attempt was handed to the network
	unsure   bool      // some attempt may have been applied
	began    time.Time // of the first failure
	pace     backoff.BackOff
	budget   time.Duration // 0: the pool's

	only      *node // bound to this one
	leader    bool  // reads are bound to the leader
	followers bool  // reads go to followers, whatever the options say
	conn      *conn // what Connect has opened
}

func (p *Pool) journey(ctx context.Context, req msg.Request) *journey {
	return &journey{pool: p, ctx: ctx, req: req}
}

// note keeps a failed attempt, in the place of an earlier one at the same node.
func (j *journey) note(n *node, sent bool, err error) {
	j.sent = j.sent || sent
	j.keep(Attempt{Node: n.opts.Address, Err: err})
}

func (j *journey) keep(a Attempt) {
	for i := range j.attempts {
		if j.attempts[i].Node == a.Node {
			j.attempts[i] = a
			return
		}
	}
	j.attempts = append(j.attempts, a)
}

// share takes over what nodes said to whoever looked for the leader.
func (j *journey) share(attempts []Attempt) {
	for _, a := range attempts {
		j.keep(a)
	}
}

// missed notes an attempt that no other one replaces, and doubts a leader that
// has not answered it: for the next one, whatever becomes of this one.
func (j *journey) missed(n *node, sent bool, err error) {
	j.note(n, sent, err)
	switch {
	case j.mutates() && sent && unanswered(err) && !errors.Is(err, ErrConnect) && j.ctx.Err() != context.Canceled:
		j.pool.suspect(n)
	case errors.Is(err, ErrRequestTimeout), unreachable(err) && j.ctx.Err() == nil:
		j.pool.doubt(n)
	}
}

func (j *journey) mutates() bool { return j.req != nil && j.req.RequestType().Mutates() }

// sound keeps a node that may be silent from holding up who has others to ask.
func (j *journey) sound(n *node) error {
	if j.only != nil || j.pool.lone() || !n.breaker.failing() {
		return nil
	}
	return n.sound(j.ctx)
}

// run performs the request where it belongs.
func (j *journey) run() (resp msg.Response, err error) {
	once := func(n *node) (sent bool, err error) {
		resp, sent, err = n.do(j.ctx, j.req)
		return sent, err
	}
	if j.mutates() && j.only == nil {
		return j.mutate()
	}
	err = j.serve(once)
	return resp, err
}

// serve performs something that changes nothing at the nodes meant for reads.
func (j *journey) serve(do func(*node) (sent bool, err error)) error {
	switch {
	case j.only != nil:
		return j.inOrder([]*node{j.only}, passable, do)
	case (j.followers || j.pool.opts.RouteReadsToFollowers) && !j.leader && !j.pool.lone():
		return j.atFollowers(do)
	}
	return j.atLeader(do)
}

// mutate sends a mutation to node after node until one takes it, or refuses it
// for good, or the failover budget is spent.
func (j *journey) mutate() (msg.Response, error) {
	first, err := j.start()
	if err != nil {
		return nil, err
	}
	for {
		resp, survivor, err := j.round(first)
		if err == nil || survivor == nil {
			return resp, err
		}
		if pauseErr := j.pause(); pauseErr != nil {
			return nil, pauseErr
		}
		first = survivor
	}
}

// start is where a mutation begins: at the leader last confirmed. Behind one that
// has not answered the nodes are asked who leads, lest mutations that must not be
// repeated end there one after the other.
func (j *journey) start() (*node, error) {
	p := j.pool
	if first := p.leaderKnown(); first != nil || p.lone() || !p.wary.Load() {
		return first, nil
	}
	for {
		found, err := p.findLeader(j.ctx, j)
		if err != nil || found.node != nil || found.unknown {
			return found.node, err
		}
		if err := j.pause(); err != nil {
			return nil, err
		}
	}
}

// round offers the mutation to every node once. survivor is where to begin the
// next round, nil when there must be none.
func (j *journey) round(first *node) (resp msg.Response, survivor *node, err error) {
	p := j.pool
	w := newWalk(p, first)
	for n := w.next(); n != nil; n = w.next() {
		var sent bool
		if err = j.sound(n); err == nil {
			resp, sent, err = n.do(j.ctx, j.req)
		}
		if err == nil {
			p.confirm(n)
			return resp, nil, nil
		}
		j.note(n, sent, err)
		v, unsure := judge(j.req, sent, err)
		j.unsure = j.unsure || unsure
		if v == final || j.ctx.Err() != nil {
			if unsure && unanswered(err) && j.ctx.Err() != context.Canceled {
				p.suspect(n)
			}
			return nil, nil, err
		}
		if v == stay {
			return nil, n, err
		}
		if w.follow(p, err) {
			survivor = n // it answers, and may be the next leader
		}
		if !errors.Is(err, msg.ErrBusy) {
			p.doubt(n)
		}
	}
	if p.lone() && !j.unsure && unreachable(err) {
		return nil, nil, err // there is nobody to fail over to
	}
	if survivor == nil {
		survivor = p.nodes()[0]
	}
	return nil, survivor, err
}

// atLeader performs something that changes nothing at the leader. While there
// is none it waits inside the failover budget. Where the credentials hide who
// leads, the nodes are taken in their order.
func (j *journey) atLeader(do func(*node) (sent bool, err error)) error {
	p := j.pool
	if p.lone() {
		n := p.nodes()[0]
		sent, err := do(n)
		if err != nil {
			j.note(n, sent, err)
		}
		return err
	}
	for {
		n := p.leaderTrusted()
		if n == nil {
			found, err := p.findLeader(j.ctx, j)
			if err != nil {
				return err // the caller left, or the credentials are refused
			}
			if n = found.node; n == nil && found.unknown {
				return j.inOrder(p.nodes(), unreachable, do)
			}
		}
		if n != nil {
			sent, err := do(n)
			if err == nil {
				return nil
			}
			j.missed(n, sent, err)
			if j.ctx.Err() != nil || !unreachable(err) {
				return err // after a timeout the next one looks elsewhere; this one is not quietly served there
			}
		}
		if err := j.pause(); err != nil {
			return err
		}
	}
}

// atFollowers performs something that changes nothing at a follower, the next
// one each time, and at the leader when no follower can.
func (j *journey) atFollowers(do func(*node) (sent bool, err error)) error {
	p := j.pool
	p.learnLeader(j)
	known, leader := p.nodes(), p.leaderKnown()
	followers := make([]*node, 0, len(known))
	for _, n := range known {
		if n != leader {
			followers = append(followers, n)
		}
	}
	order := make([]*node, 0, len(known))
	if len(followers) > 0 {
		first := p.turn.Add(1) % uint64(len(followers))
		order = append(append(order, followers[first:]...), followers[:first]...)
	}
	if leader != nil {
		order = append(order, leader)
	}
	return j.inOrder(order, passable, do)
}

// inOrder tries the nodes until one succeeds or fails in a way that must not pass.
func (j *journey) inOrder(order []*node, pass func(error) bool, do func(*node) (bool, error)) (err error) {
	for _, n := range order {
		var sent bool
		if err = j.sound(n); err == nil {
			sent, err = do(n)
		}
		if err == nil {
			return nil
		}
		j.missed(n, sent, err)
		if j.ctx.Err() != nil || !pass(err) {
			return err
		}
	}
	return err
}

// turnedAway reports whether there is no node left that might do better next time.
func (j *journey) turnedAway() bool {
	if j.pool == nil {
		return false
	}
	for _, n := range j.pool.nodes() {
		if !slices.ContainsFunc(j.attempts, func(a Attempt) bool { return a.Node == n.opts.Address && tlsRefused(a.Err) }) {
			return false
		}
	}
	return true
}

// pause waits between rounds; the error says why there is no further one.
func (j *journey) pause() error {
	if j.turnedAway() {
		return fmt.Errorf("%w with any node", ErrTLS)
	}
	budget := j.budget
	var closing <-chan struct{}
	if j.pool != nil {
		budget, closing = j.pool.opts.FailoverBudget, j.pool.intake.Done()
	}
	if j.pace == nil {
		j.began = time.Now()
		most := longestReadRest
		if j.mutates() {
			most = longestRest
		}
		j.pace = newPace(most)
	}
	wait := j.pace.NextBackOff()
	if time.Since(j.began)+wait > budget {
		return &budgetError{budget}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-j.ctx.Done():
		return ended(j.ctx)
	case <-closing:
		return ErrClosed
	}
}

func newPace(most time.Duration) backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(shortestRest), backoff.WithMultiplier(2), backoff.WithMaxInterval(most),
		backoff.WithRandomizationFactor(0.5), backoff.WithMaxElapsedTime(0))
}

// failure is the error of the whole operation: that of the only attempt, or
// all of them.
func (j *journey) failure(op string, key msg.Opt[msg.Key], mutation bool, err error) *Error {
	e := &Error{Op: op, Key: key, Mutation: mutation, Sent: j.sent, Unsure: j.unsure, Err: err}
	if len(j.attempts) == 1 && errors.Is(err, j.attempts[0].Err) {
		e.Node = j.attempts[0].Node
		return e
	}
	if len(j.attempts) > 0 {
		e.Err = &AttemptsError{Cause: err, Attempts: j.attempts}
	}
	return e
}

// budgetError says that FailoverBudget was spent.
type budgetError struct{ budget time.Duration }

func (e *budgetError) Error() string { return fmt.Sprintf("%v within %v", ErrNoLeader, e.budget) }
func (e *budgetError) Unwrap() error { return ErrNoLeader }
func (e *budgetError) Timeout() bool { return true }
