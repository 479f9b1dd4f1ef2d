package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/stream"
)

// namedPositions are positions in the gateway's store.
type namedPositions struct {
	checkpoint.Store
	ses *session

	// Guarded by the session's lock: what is to be stored, in order, and whether the
	// store is at work.
	queue []saving
	busy  bool
	// verdicts counts those that the client gave and that are not in the queue yet.
	verdicts int
}

// saving is one step of what is stored: the cursors of acknowledged changes, or a
// mutation, of which done hears what became.
type saving struct {
	changes  []stream.Change
	ranges   []*pb.Range
	mutation *checkpoint.Mutation
	done     func(err error) error
}

func (p *namedPositions) answer(*pb.Cursors) error {
	return invalid(errors.New("a message Cursors came, and nothing was looked up"))
}

func (p *namedPositions) storing() bool { return p.busy || p.verdicts > 0 }

// handled implements positionStore. Positions that come while the store is at work are
// saved together.
func (p *namedPositions) handled(changes []stream.Change, ranges []*pb.Range) error {
	p.ses.mu.Lock()
	defer p.ses.mu.Unlock()
	recovered := p.ses.failing.handled(changes)
	last := len(p.queue) - 1
	if last >= 0 && p.queue[last].mutation == nil {
		p.queue[last].changes = append(p.queue[last].changes, changes...)
		p.queue[last].ranges = append(p.queue[last].ranges, ranges...)
	} else {
		p.queue = append(p.queue, saving{changes: changes, ranges: ranges})
	}
	if recovered != nil {
		p.queue = append(p.queue, saving{mutation: recovered, done: unlessLost})
	}
	p.beginLocked()
	return nil
}

// changeLocked queues a mutation behind what was acknowledged before.
func (p *namedPositions) changeLocked(m *checkpoint.Mutation, done func(error) error) {
	p.queue = append(p.queue, saving{mutation: m, done: done})
	p.beginLocked()
}

func (p *namedPositions) beginLocked() {
	if !p.busy {
		p.busy = true
		go p.save()
	}
}

// save stores what is queued until nothing is left, and tells the client.
func (p *namedPositions) save() {
	for {
		p.ses.mu.Lock()
		if len(p.queue) == 0 {
			p.queue, p.busy = nil, false
			p.ses.settleLocked()
			p.ses.mu.Unlock()
			return
		}
		next := p.queue[0]
		p.queue[0] = saving{}
		p.queue = p.queue[1:]
		sub := p.ses.sub
		p.ses.mu.Unlock()
		err := p.store(sub, next)
		if err != nil {
			p.ses.end(err)
		}
	}
}

// store carries out one step.
func (p *namedPositions) store(sub *stream.Subscription, s saving) error {
	if s.mutation != nil {
		err := p.apply(sub, s.mutation)
		if err == nil {
			sub.Committed(s.mutation.Entries)
		}
		return s.done(err)
	}
	err := sub.Commit(context.WithoutCancel(p.ses.ctx), stream.Entries(s.changes))
	var back *checkpoint.RegressionError
	switch {
	case err == nil:
		p.ses.out.control(storedMessage(s.ranges...))
		return nil
	case errors.As(err, &back):
		// The others are stored; which ones is not said, so that all of them count as
		// not confirmed.
		return nil
	default:
		return unlessLost(err)
	}
}

func storedMessage(ranges ...*pb.Range) *pb.SubscribeResponse {
	return &pb.SubscribeResponse{Message: &pb.SubscribeResponse_Stored{Stored: &pb.Stored{Deliveries: ranges}}}
}

// unlessLost is the error unless it says that a partition is another member's, who
// gets the changes again.
func unlessLost(err error) error {
	if lost := new(*stream.LostError); errors.As(err, lost) || errors.Is(err, checkpoint.ErrFenced) {
		return nil
	}
	return err
}

// applyPause is between two attempts at a mutation.
const applyPause = 500 * time.Millisecond

// apply applies a mutation. A store that fails is asked again for as long as the
// session lasts.
func (p *namedPositions) apply(sub *stream.Subscription, m *checkpoint.Mutation) error {
	records := p.Store.(checkpoint.RecordStore) // named streams need one, see authorizeName
	for {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ses.ctx), closeTimeout)
		err := records.Apply(ctx, sub.Name(), *m)
		cancel()
		if err == nil || checkpoint.IsRefusal(err) || errors.Is(err, checkpoint.ErrFailed) || p.ses.ctx.Err() != nil {
			return err
		}
		sub.ReportRetry(stream.WhatStore, err, time.Now().Add(applyPause))
		if pause(p.ses.ctx, applyPause) != nil {
			return err
		}
		sub.ReportRecovered(stream.WhatStore)
	}
}
