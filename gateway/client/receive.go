package client

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// largestBatch bounds the parts of one batch.
const largestBatch = 64 << 20

// changes takes deliveries.
func (l *link) changes(m *pb.Changes) error {
	p := message{attempt: l.attempt, changes: make([]stream.Change, 0, len(m.Changes))}
	for i, change := range m.Changes {
		number := m.FirstDelivery + uint64(i)
		if part := change.GetPart(); part != nil {
			if l.parts = append(l.parts, part.Data...); len(l.parts) > largestBatch {
				return fmt.Errorf("%w: a batch has more than %d bytes", errProtocol, largestBatch)
			}
			if !part.Last {
				continue
			}
			batch := new(pb.Batch)
			if err := proto.Unmarshal(l.parts, batch); err != nil {
				return fmt.Errorf("%w: the parts of a batch: %w", errProtocol, err)
			}
			l.parts = nil
			change.Kind = &pb.Change_Batch{Batch: batch}
		}
		if change.GetStarted() != nil {
			if err := l.started(change, number); err != nil {
				return err
			}
			continue
		}
		c, err := convert.Change(change)
		switch {
		case errors.Is(err, convert.ErrUnknownKind):
			return fmt.Errorf("%w: %w", errTooNew, err)
		case err != nil:
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		c.Owner = l.sub.owner
		ignored, err := l.enter(&c, number)
		switch {
		case err != nil:
			return err
		case ignored:
			continue // a hold has made it void
		}
		p.changes = append(p.changes, c)
		p.bytes += int64(proto.Size(change))
		if !c.Moves() {
			p.fixed = append(p.fixed, number)
		}
	}
	return l.deliver(p)
}

// enter notes a delivery, unless a hold has made it void.
func (l *link) enter(c *stream.Change, number uint64) (ignored bool, err error) {
	s := l.sub
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.Kind == stream.CaughtUp:
		return false, nil
	case s.held[c.Key].ignored():
		return true, nil
	case c.Moves() && !s.lanes.add(c, l.attempt, number):
		return false, fmt.Errorf("%w: a change of %v does not follow the one before", errProtocol, c.Key)
	}
	return false, nil
}

func (l *link) deliver(p message) error {
	if len(p.changes) == 0 {
		return nil
	}
	s := l.sub
	s.mu.Lock()
	// A hold may have come since the changes were entered.
	p.changes = slices.DeleteFunc(p.changes, func(c stream.Change) bool {
		return c.Kind != stream.CaughtUp && s.held[c.Key].ignored()
	})
	if s.ended == nil && len(p.changes) > 0 {
		s.queue = append(s.queue, p)
	}
	s.mu.Unlock()
	signal(s.wake)
	return nil
}

// started stores a first position. Nothing of its aggregate is delivered before
// that is acknowledged, so that nobody else saves it meanwhile.
func (l *link) started(change *pb.Change, number uint64) error {
	key, err := convert.Key("change.key", change.Key)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	cursor, err := convert.Cursor("change.cursor", change.Cursor)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	l.work.Go(func() {
		if l.sub.Commit(l.ctx, []checkpoint.Entry{{Key: key, Cursor: cursor}}) == nil {
			l.acknowledge([]uint64{number})
		}
	})
	return nil
}

// lookUp answers where the consumer stands: behind what was delivered to it, else
// where the store says.
func (l *link) lookUp(m *pb.LookUp) error {
	keys, err := convert.Keys("look_up.keys", m.Keys, 512)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	select {
	case l.looking <- struct{}{}:
	default:
		return fmt.Errorf("%w: more than %d look-ups are at work", errProtocol, lookUps)
	}
	s := l.sub
	cursors := make([]checkpoint.Cursor, len(keys))
	var ask []msg.Key
	var places []int
	s.mu.Lock()
	for i, key := range keys {
		if c, ahead := s.lanes.newest(key); ahead {
			cursors[i] = c
			continue
		}
		ask, places = append(ask, key), append(places, i)
	}
	s.mu.Unlock()
	l.work.Go(func() {
		defer func() { <-l.looking }()
		stored, err := l.load(ask)
		if err == nil {
			err = s.markStart(l.ctx, ask, stored)
		}
		if err != nil {
			return
		}
		for i, place := range places {
			cursors[place] = stored[i]
		}
		answer := &pb.Cursors{LookUp: m.Id, Cursors: make([][]byte, len(cursors))}
		for i, c := range cursors {
			answer.Cursors[i] = convert.CursorBytes(c)
		}
		l.request(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Cursors{Cursors: answer}})
	})
	return nil
}

// load looks cursors up in the store. A store that fails for a while is tried again.
func (l *link) load(keys []msg.Key) ([]checkpoint.Cursor, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	s := l.sub
	pace := newPace()
	for {
		cursors, err := s.store.Load(l.ctx, s.opts.Name, keys)
		if err == nil || l.ctx.Err() != nil {
			s.ReportRecovered(stream.WhatStore)
			return cursors, err
		}
		err = fmt.Errorf("gateway: looking up %d cursors of %q: %w", len(keys), s.opts.Name, err)
		if permanent(err) {
			s.Fail(err)
			return nil, err
		}
		pause := pace.NextBackOff()
		s.ReportRetry(stream.WhatStore, err, time.Now().Add(pause))
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-l.ctx.Done():
			wait.Stop()
			return nil, err
		}
	}
}

var phases = map[pb.Phase]stream.Phase{
	pb.Phase_PHASE_CONNECTING: stream.Connecting, pb.Phase_PHASE_QUEUED: stream.Connecting, pb.Phase_PHASE_CATCHING_UP: stream.CatchingUp,
	pb.Phase_PHASE_LIVE: stream.Live, pb.Phase_PHASE_RECONNECTING: stream.Reconnecting,
}

// state takes the condition the gateway tells.
func (l *link) state(m *pb.State) {
	phase, known := phases[m.Phase]
	if !known {
		return // Closed: the end of the stream says why
	}
	state := stream.State{Phase: phase, Since: m.GetSince().AsTime()}
	switch {
	case m.Phase == pb.Phase_PHASE_QUEUED:
		state.Since, state.Cause = time.Now(), fmt.Errorf("gateway: %d subscriptions wait in front", m.QueuePosition)
	case m.Cause != "":
		state.Cause = errors.New("gateway: " + m.Cause)
	}
	s := l.sub
	s.mu.Lock()
	s.latest.Unhandled, s.latest.OldestPending = m.Unhandled, time.Time{}
	if m.OldestPending != nil {
		s.latest.OldestPending = m.OldestPending.AsTime()
	}
	s.latest.Unreadable = int(m.Parked) // those that were parked here are told apart
	s.mu.Unlock()
	s.tell(state)
}
