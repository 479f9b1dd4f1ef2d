package pool

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// leaderTrust is how long an answer that only a leader gives is believed. A
// leader that was deposed goes on serving reads, ever older ones, without a
// word; whoever only reads learns of it by asking again.
const leaderTrust = 5 * time.Second

// leadership is who leads, and when that was last confirmed.
type leadership struct {
	node *node
	at   time.Time
}

// leaderKnown returns the leader last confirmed, however long ago; nil for none.
func (p *Pool) leaderKnown() *node {
	if l := p.leader.Load(); l != nil {
		return l.node
	}
	return nil
}

// leaderTrusted returns the leader if it was confirmed lately.
func (p *Pool) leaderTrusted() *node {
	if l := p.leader.Load(); l != nil && time.Since(l.at) < leaderTrust {
		return l.node
	}
	return nil
}

// confirm notes that n has given an answer only a leader gives.
func (p *Pool) confirm(n *node) {
	now := time.Now()
	if l := p.leader.Load(); l != nil && l.node == n && now.Sub(l.at) < leaderTrust/8 {
		return
	}
	last := p.leader.Swap(&leadership{n, now})
	p.wary.Store(false)
	if hook := p.opts.Hooks.Leader; hook != nil && (last == nil || last.node != n) {
		hook(n.opts.Address)
	}
}

// doubt forgets n as the leader.
func (p *Pool) doubt(n *node) {
	if l := p.leader.Load(); l != nil && l.node == n {
		p.leader.CompareAndSwap(l, nil)
	}
}

// suspect forgets n as the leader, and the order of the nodes as a guess at the
// next one: it has left a mutation unanswered.
func (p *Pool) suspect(n *node) {
	p.doubt(n)
	p.wary.Store(true)
}

// finding is the outcome of a search for the leader.
type finding struct {
	node     *node     // nil: none found
	unknown  bool      // some node answered what tells neither way
	attempts []Attempt // what the nodes asked said instead
	at       time.Time
}

// fresh reports whether a finding serves who began to look at the time given.
// That nobody leads is worth a little longer: many callers, each with short pauses,
// ask no more often than one would.
func (f *finding) fresh(began time.Time) bool {
	if f.node == nil && !f.unknown {
		began = began.Add(-shortestRest / 2)
	}
	return f.at.After(began)
}

// findLeader asks node after node, following their hints, with a write of no
// events: a leader answers that it is empty, everybody else that it is no
// leader, and nothing is changed. One caller searches, others that wait
// meanwhile share what it finds.
func (p *Pool) findLeader(ctx context.Context, j *journey) (finding, error) {
	began := time.Now()
	select {
	case p.searching <- struct{}{}:
		defer func() { <-p.searching }()
	case <-ctx.Done():
		return finding{}, ended(ctx)
	case <-p.intake.Done():
		return finding{}, ErrClosed
	}
	if n := p.leaderTrusted(); n != nil {
		return finding{node: n}, nil
	}
	if p.found.fresh(began) {
		j.share(p.found.attempts)
		return p.found, nil
	}
	own := &journey{pool: p, ctx: ctx}
	found, err := p.search(ctx, own)
	j.share(own.attempts)
	if err == nil {
		found.attempts, found.at = own.attempts, time.Now()
		p.found = found
	}
	return found, err
}

// learnLeader looks for the leader, if nothing is known of one, so that reads
// at followers can leave it out; not again and again while there is none.
func (p *Pool) learnLeader(j *journey) {
	if p.leaderKnown() != nil {
		return
	}
	now := time.Now().UnixNano()
	last := p.looked.Load()
	if last != 0 && time.Duration(now-last) < leaderTrust || !p.looked.CompareAndSwap(last, now) {
		return
	}
	p.findLeader(j.ctx, &journey{pool: p, ctx: j.ctx})
}

// search is one walk over the nodes.
func (p *Pool) search(ctx context.Context, j *journey) (finding, error) {
	w := newWalk(p, p.leaderKnown())
	unknown := false
	for n := w.next(); n != nil; n = w.next() {
		err := j.sound(n)
		if err == nil {
			err = p.probeLeader(ctx, n)
		}
		switch verdict := judgeProbe(err); {
		case verdict == probeLeads:
			p.confirm(n)
			return finding{node: n}, nil
		case ctx.Err() != nil || errors.Is(err, ErrClosed) && p.intake.Err() != nil:
			return finding{}, err
		case verdict == probeRefused:
			j.note(n, false, err)
			return finding{}, err
		case verdict == probeUnknown:
			unknown = true
		}
		p.doubt(n)
		j.note(n, false, err)
		w.follow(p, err)
	}
	return finding{unknown: unknown}, nil
}

// probeLeader sends the write without events.
func (p *Pool) probeLeader(ctx context.Context, n *node) error {
	for try := 0; ; try++ {
		identified, _ := p.Identity()
		writer, proven := identified.ClientID.Get()
		_, _, err := n.do(ctx, &msg.WriteRequest{
			ClientID: writer,
			Writes:   []msg.AggregateWrite{{Key: msg.Key{Org: probeKey, Type: probeKey, Aggregate: probeKey}}},
		})
		var refusal *msg.ServerError
		if try == 0 && !proven && errors.As(err, &refusal) && refusal.Code == msg.CodeClientIDMismatch {
			continue // the first connection has proved the id meanwhile
		}
		return err
	}
}

// probeKey is in the key of an aggregate that is never written.
var probeKey = msg.IDFromUint64s(0x6c65616465722d70, 0x726f62652d6b6579)

type probeVerdict uint8

const (
	probeSilent  probeVerdict = iota // no answer, or not the leader
	probeLeads                       // only a leader answers this
	probeUnknown                     // the credentials hide it
	probeRefused                     // the credentials are no good
)

// judgeProbe reads the answer to the probe: a node checks leadership after the
// credentials and before load and content. Server semantics 3.1.
func judgeProbe(err error) probeVerdict {
	var refusal *msg.ServerError
	if err == nil {
		return probeLeads
	}
	if errors.Is(err, ErrCredentials) {
		return probeRefused
	}
	if !errors.As(err, &refusal) || errors.Is(err, ErrConnect) {
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
	return probeUnknown
}

// Leader returns the address of the node that leads. It asks the nodes unless
// one has proved to lead within the last five seconds, and waits through an
// election for at most FailoverBudget. With a single node and no seeds that
// node is returned unasked.
func (p *Pool) Leader(ctx context.Context) (string, error) {
	j := p.journey(ctx, nil)
	var address string
	err := j.atLeader(func(n *node) (bool, error) {
		address = n.opts.Address
		return false, nil
	})
	if err != nil {
		return "", j.failure("find leader", msg.None[msg.Key](), false, err)
	}
	return address, nil
}
