package gateway

import (
	"context"
	"sync"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
)

// queuedFrames is how many frames wait for the transport before the pump waits.
const queuedFrames = 2

// outbox holds what waits to be sent, and has a goroutine send while there is something:
// an idle stream has none, and no stack. Control messages overtake frames: look-ups,
// states and acknowledgements need no credit. A Held is no control message, since
// it must not overtake the deliveries that it voids.
type outbox struct {
	// send sends until next has nothing, or finishes the outbox. One goroutine at a time
	// runs send.
	send func()
	room chan struct{} // a token when data has become shorter

	mu       sync.Mutex
	controls []*pb.SubscribeResponse
	latest   *pb.State // to be sent; a newer one replaces it
	touched  bool      // the state is to be asked for and sent
	data     []any     // frames, and Held
	sending  bool      // send runs
	settled  bool      // nothing follows: the session ends when all is sent
	over     bool      // send runs no more
	done     chan struct{}
}

// stateDue stands for the state of the moment when it is sent.
type stateDue struct{}

func (o *outbox) init(send func()) {
	o.send = send
	o.room = make(chan struct{}, 1)
	o.done = make(chan struct{})
}

// stirLocked has what waits sent.
func (o *outbox) stirLocked() {
	if !o.sending && !o.over {
		o.sending = true
		go o.send()
	}
}

func (o *outbox) control(m *pb.SubscribeResponse) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.controls = append(o.controls, m)
	o.stirLocked()
}

// state sends a state, unless another one follows before it can be sent.
func (o *outbox) state(s *pb.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest = s
	o.stirLocked()
}

// touch asks for a state of the moment.
func (o *outbox) touch() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.touched = true
	o.stirLocked()
}

// settle says that the session ends when all is sent.
func (o *outbox) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled = true
	o.stirLocked()
}

// put queues a frame, or a Held, behind those before, and waits for room.
func (o *outbox) put(ctx context.Context, m any) error {
	for {
		o.mu.Lock()
		if len(o.data) < queuedFrames {
			o.data = append(o.data, m)
			o.stirLocked()
			o.mu.Unlock()
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

// next returns what to send next. When there is nothing it is nil, the sender ends, and
// settled says whether the session does. The state is not asked for here: a session
// sends with its own lock held, which the state needs.
func (o *outbox) next() (m any, settled bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.controls) > 0:
		m := o.controls[0]
		o.controls[0] = nil
		o.controls = o.controls[1:]
		return m, false
	case o.latest != nil:
		m := o.latest
		o.latest = nil
		return stateMessage(m), false
	case o.touched:
		o.touched = false
		return stateDue{}, false
	case len(o.data) > 0:
		m := o.data[0]
		o.data = append(o.data[:0], o.data[1:]...)
		signal(o.room)
		return m, false
	}
	o.controls = nil
	o.sending = false
	if o.over {
		closeOnce(o.done)
	}
	return nil, o.settled
}

// stop ends the sender, which calls it: nothing is sent any more.
func (o *outbox) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over, o.sending = true, false
	closeOnce(o.done)
}

// finish waits until the sender has ended, and frees what was not sent. No other one
// starts.
func (o *outbox) finish() {
	o.mu.Lock()
	o.over = true
	if !o.sending {
		closeOnce(o.done)
	}
	o.mu.Unlock()
	<-o.done
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.data {
		free(m)
	}
	o.data = nil
}

// free gives the buffer of a message back that is not sent.
func free(m any) {
	if f, ok := m.(*frame); ok {
		f.data.Free()
	}
}

func stateMessage(s *pb.State) *pb.SubscribeResponse {
	return &pb.SubscribeResponse{Message: &pb.SubscribeResponse_State{State: s}}
}
