package gateway

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/stream"
)

// send sends what there is, as the stream's only sender while it runs.
func (ses *session) send() {
	for {
		m, settled := ses.out.next()
		if m == nil {
			if settled { // acknowledged positions are stored, and that was said
				ses.end(errDrained)
			}
			return
		}
		if ses.ctx.Err() != nil {
			free(m)
			ses.out.stop()
			return
		}
		if m == (stateDue{}) {
			m = stateMessage(ses.state())
		}
		if err := ses.sendOne(m); err != nil {
			ses.end(err)
			ses.out.stop()
			return
		}
	}
}

// beat tells the state at least as often as clients are promised.
func (ses *session) beat() {
	ses.out.touch()
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.ctx.Err() == nil {
		ses.heart.Reset(heartbeat)
	}
}

func (ses *session) sendOne(m any) error {
	ses.sending.Store(time.Now().UnixNano())
	defer ses.sending.Store(0)
	if err := ses.stream.SendMsg(m); err != nil {
		if ses.ctx.Err() != nil {
			return context.Cause(ses.ctx)
		}
		return err
	}
	return nil
}

var phases = map[stream.Phase]pb.Phase{
	stream.Connecting: pb.Phase_PHASE_CONNECTING, stream.CatchingUp: pb.Phase_PHASE_CATCHING_UP, stream.Live: pb.Phase_PHASE_LIVE,
	stream.Reconnecting: pb.Phase_PHASE_RECONNECTING, stream.Closed: pb.Phase_PHASE_CLOSED,
}

// state is the condition of the subscription at this moment.
func (ses *session) state() *pb.State {
	ses.mu.Lock()
	sub, parked := ses.sub, len(ses.parking.keys)
	ses.mu.Unlock()
	if sub == nil {
		return &pb.State{Phase: pb.Phase_PHASE_QUEUED}
	}
	stats := sub.Stats()
	m := &pb.State{
		Phase:     phases[stats.State.Phase],
		Since:     timestamppb.New(stats.State.Since),
		Cause:     causeText(stats.State.Cause),
		Unhandled: stats.Unhandled,
		Parked:    uint64(stats.Unreadable + parked),
	}
	if !stats.OldestPending.IsZero() {
		m.OldestPending = timestamppb.New(stats.OldestPending)
	}
	for _, r := range stats.Retrying {
		m.Retrying = append(m.Retrying, &pb.Retrying{Component: components[r.What], Since: timestamppb.New(r.Since), Cause: causeText(r.Err)})
	}
	if ses.unanswered.Load() > 0 {
		m.Retrying = append(m.Retrying, &pb.Retrying{Component: pb.Component_COMPONENT_CLIENT, Cause: "the client does not answer a look-up"})
	}
	return m
}

var components = map[string]pb.Component{
	stream.WhatHandler: pb.Component_COMPONENT_HANDLER, stream.WhatStore: pb.Component_COMPONENT_STORE, stream.WhatDatabase: pb.Component_COMPONENT_DATABASE,
	stream.WhatNode: pb.Component_COMPONENT_NODE, stream.WhatClient: pb.Component_COMPONENT_CLIENT,
}
