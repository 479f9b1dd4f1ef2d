package gateway

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/stream"
)

// queuedFrames is how many frames wait for the transport before the pump waits.
const queuedFrames = 2

// outbox holds what waits to be sent. Control messages overtake frames: look-ups,
// states and acknowledgements need no credit. A Held is no control message, since
// it must not overtake the deliveries that it voids.
type outbox struct {
	mu       sync.Mutex
	controls []*pb.SubscribeResponse
	latest   *pb.State // to be sent; a newer one replaces it
	touched  bool      // the state is to be asked for and sent
	data     []any     // frames, and Held
	ready    chan struct{}
	room     chan struct{} // a token when data has become shorter
}

func (o *outbox) init() {
	o.ready = make(chan struct{}, 1)
	o.room = make(chan struct{}, 1)
}

func (o *outbox) control(m *pb.SubscribeResponse) {
	o.mu.Lock()
	o.controls = append(o.controls, m)
	o.mu.Unlock()
	signal(o.ready)
}

// state sends a state, unless another one follows before it can be sent.
func (o *outbox) state(s *pb.State) {
	o.mu.Lock()
	o.latest = s
	o.mu.Unlock()
	signal(o.ready)
}

// touch asks for a state of the moment.
func (o *outbox) touch() {
	o.mu.Lock()
	o.touched = true
	o.mu.Unlock()
	signal(o.ready)
}

// put queues a frame, or a Held, behind those before, and waits for room.
func (o *outbox) put(ctx context.Context, m any) error {
	for {
		o.mu.Lock()
		if len(o.data) < queuedFrames {
			o.data = append(o.data, m)
			o.mu.Unlock()
			signal(o.ready)
			return nil
		}
		o.mu.Unlock()
		select {
		case <-o.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// next returns what to send next; nil when there is nothing.
func (o *outbox) next(state func() *pb.State) any {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.controls) > 0:
		m := o.controls[0]
		o.controls[0] = nil
		o.controls = o.controls[1:]
		return m
	case o.latest != nil:
		m := o.latest
		o.latest = nil
		return stateMessage(m)
	case o.touched:
		o.touched = false
		return stateMessage(state())
	case len(o.data) > 0:
		m := o.data[0]
		o.data = append(o.data[:0], o.data[1:]...)
		signal(o.room)
		return m
	}
	o.controls = nil
	return nil
}

// drop frees what was not sent.
func (o *outbox) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.data {
		if f, ok := m.(*frame); ok {
			f.data.Free()
		}
	}
	o.data = nil
}

func stateMessage(s *pb.State) *pb.SubscribeResponse {
	return &pb.SubscribeResponse{Message: &pb.SubscribeResponse_State{State: s}}
}

// send sends until the session ends, and returns why it does. send is the
// stream's only sender.
func (ses *session) send() (cause error) {
	defer ses.out.drop()
	defer func() { ses.revoke(cause) }()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		for m := ses.out.next(ses.state); m != nil; m = ses.out.next(ses.state) {
			if ses.ctx.Err() != nil {
				if f, ok := m.(*frame); ok {
					f.data.Free()
				}
				return context.Cause(ses.ctx)
			}
			if err := ses.sendOne(m); err != nil {
				return err
			}
		}
		select {
		case <-ses.out.ready:
		case <-beat.C:
			ses.out.touch()
		case <-ses.settled:
			// Acknowledged positions are stored, and that was said.
			if m := ses.out.next(ses.state); m != nil {
				if err := ses.sendOne(m); err != nil {
					return err
				}
				continue
			}
			return errDrained
		case <-ses.ctx.Done():
			return context.Cause(ses.ctx)
		}
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
