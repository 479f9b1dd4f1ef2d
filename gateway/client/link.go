package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	// silence is how long a connection may bring nothing before it counts as lost.
	silence = 14 * time.Second
	// healthy is how long a connection must last for its backoff to start anew.
	healthy = 10 * time.Second
	// farewell bounds the acknowledging after the subscription has ended.
	farewell = 2 * time.Second
	// lookUps bounds the look-ups at work; a gateway sends four at most.
	lookUps = 8
)

var errSilent = fmt.Errorf("gateway: nothing came for %v", silence)

// Errors of a gateway that does not keep the interface.
var (
	errProtocol = errors.New("gateway: the gateway breaks the protocol")
	errTooNew   = errors.New("gateway: the gateway is newer than this client")
)

// link is one connection of a subscription.
type link struct {
	sub     *Subscription
	attempt uint64
	stream  grpc.BidiStreamingClient[pb.SubscribeRequest, pb.SubscribeResponse]
	ctx     context.Context
	cancel  context.CancelCauseFunc

	mu       sync.Mutex
	requests []*pb.SubscribeRequest
	handled  []*pb.Range
	ready    chan struct{}
	closing  bool

	looking chan struct{}
	work    sync.WaitGroup
	parts   []byte // of a batch that comes in parts
	away    time.Duration
}

// run keeps the subscription connected until it ends.
func (s *Subscription) run() {
	pace := newPace()
	for {
		began := time.Now()
		after, err := s.connect()
		if s.ctx.Err() != nil {
			return
		}
		if terminal(err) {
			s.Fail(fmt.Errorf("gateway: subscribing to %v: %w", s.scope, err))
			return
		}
		if time.Since(began) >= healthy {
			pace.Reset()
		}
		s.tell(stream.State{Phase: stream.Reconnecting, Since: time.Now(), Cause: err})
		wait := time.NewTimer(max(after, 0) + pace.NextBackOff())
		select {
		case <-wait.C:
		case <-s.ctx.Done():
			wait.Stop()
			return
		}
	}
}

// terminal reports whether the same subscription would be refused again.
func terminal(err error) bool {
	if errors.Is(err, errProtocol) || errors.Is(err, errTooNew) {
		return true
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.Unimplemented, codes.NotFound:
		return true
	}
	return false
}

// connect runs one connection until it ends, and returns why and how long the
// gateway asks to stay away.
func (s *Subscription) connect() (after time.Duration, err error) {
	l := &link{sub: s, ready: make(chan struct{}, 1), looking: make(chan struct{}, lookUps)}
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(s.ctx))
	defer l.cancel(nil)
	// After the end what was handled is still acknowledged, for a short while.
	stop := context.AfterFunc(s.ctx, func() { l.leave() })
	defer stop()
	if l.stream, err = pb.NewSubscriptionServiceClient(s.client.conn).Subscribe(l.ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.tried++
	l.attempt = s.tried
	s.lanes.dropWaiting()
	s.queue = nil
	s.link = l
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.link = nil
		s.mu.Unlock()
		l.cancel(nil)
		l.work.Wait()
	}()
	l.request(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: s.open()}})
	s.holdAgain(l)
	l.work.Go(l.send)
	err = l.receive()
	return l.away, err
}

// open is the first message.
func (s *Subscription) open() *pb.Open {
	start, continuation := pb.Start_START_FROM_BEGINNING, pb.Continuation_CONTINUATION_REPLAY
	if s.opts.Start == stream.FromNow {
		start = pb.Start_START_FROM_NOW
	}
	if s.opts.Continuation == stream.ContinueOnly {
		continuation = pb.Continuation_CONTINUATION_CONTINUE_ONLY
	}
	return &pb.Open{
		Scope:                 convert.ScopeMessage(s.scope),
		Position:              &pb.Open_ClientHeld{ClientHeld: &pb.ClientHeld{}},
		Start:                 &start,
		Continuation:          &continuation,
		MaxOutstandingChanges: uint32(s.opts.Changes),
		MaxOutstandingBytes:   uint64(s.opts.Bytes),
		RequiredFeatures:      []string{"client-held", "hold", "parts", "started"},
	}
}

// request queues a message.
func (l *link) request(m *pb.SubscribeRequest) {
	l.mu.Lock()
	l.requests = append(l.requests, m)
	l.mu.Unlock()
	signal(l.ready)
}

// acknowledge queues acknowledgements, in ascending order.
func (l *link) acknowledge(deliveries []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range deliveries {
		if k := len(l.handled); k > 0 && l.handled[k-1].Last+1 == n {
			l.handled[k-1].Last = n
			continue
		}
		l.handled = append(l.handled, &pb.Range{First: n, Last: n})
	}
	signal(l.ready)
}

// leave says that nothing further is wanted, and ends the connection soon.
func (l *link) leave() {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	signal(l.ready)
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-timer.C:
		l.cancel(context.Cause(l.sub.ctx))
	case <-l.ctx.Done():
	}
}

// send sends what is queued. send is the stream's only sender.
func (l *link) send() {
	for {
		l.mu.Lock()
		requests, handled, closing := l.requests, l.handled, l.closing
		l.requests, l.handled = nil, nil
		l.mu.Unlock()
		for _, m := range requests {
			if l.stream.Send(m) != nil {
				return // receive says why
			}
		}
		for _, ranges := range ascending(handled) {
			if l.stream.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: ranges}}}) != nil {
				return
			}
		}
		if closing {
			_ = l.stream.CloseSend()
			return
		}
		select {
		case <-l.ready:
		case <-l.ctx.Done():
			return
		}
	}
}

// ascending cuts ranges into messages: in each they must ascend.
func ascending(ranges []*pb.Range) [][]*pb.Range {
	var out [][]*pb.Range
	for i, r := range ranges {
		if i == 0 || r.First <= ranges[i-1].Last {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], r)
	}
	return out
}

// receive takes what the gateway sends until the connection ends.
func (l *link) receive() error {
	watchdog := time.AfterFunc(silence, func() { l.cancel(errSilent) })
	defer watchdog.Stop()
	opened := false
	for {
		m, err := l.stream.Recv()
		if err != nil {
			if cause := context.Cause(l.ctx); cause != nil && l.ctx.Err() != nil {
				return cause
			}
			if errors.Is(err, io.EOF) {
				return status.Error(codes.Unavailable, "the gateway ended the stream")
			}
			return err
		}
		watchdog.Reset(silence)
		if !opened {
			if err := l.opened(m.GetOpened()); err != nil {
				return err
			}
			opened = true
			continue
		}
		if err := l.take(m); err != nil {
			return err
		}
	}
}

// opened checks that the gateway does what was asked for.
func (l *link) opened(m *pb.Opened) error {
	if m == nil {
		return fmt.Errorf("%w: the first message is no Opened", errProtocol)
	}
	asked, granted := l.sub.open(), m.GetEffective()
	same := granted != nil && granted.GetStart() == *asked.Start && granted.GetContinuation() == *asked.Continuation &&
		granted.GetClientHeld() != nil && proto.Equal(granted.GetScope(), asked.Scope)
	if !same {
		return fmt.Errorf("%w: it grants %v", errProtocol, granted)
	}
	l.sub.logger.Debug("opened", "stream", m.StreamId, "gateway", m.Gateway)
	return nil
}

// take deals with one message.
func (l *link) take(m *pb.SubscribeResponse) error {
	switch m := m.Message.(type) {
	case *pb.SubscribeResponse_Changes:
		return l.changes(m.Changes)
	case *pb.SubscribeResponse_LookUp:
		return l.lookUp(m.LookUp)
	case *pb.SubscribeResponse_State:
		l.state(m.State)
		return nil
	case *pb.SubscribeResponse_GoAway:
		l.away = m.GoAway.GetReconnectAfter().AsDuration()
		return nil
	}
	if held := m.GetHeld(); held != nil {
		l.held(held.Id)
		return nil
	}
	return fmt.Errorf("%w: a message of an unknown kind came", errTooNew)
}
