package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/delivery"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	// openTimeout is how long a stream may be without its Open.
	openTimeout = 10 * time.Second
	// heartbeat is the longest time without a State.
	heartbeat = 4500 * time.Millisecond
	// stallTimeout is how long a message may wait for the client to read before
	// the stream ends.
	stallTimeout = 5 * time.Minute
	// slowTimeout is how long a message may wait for the client to read before the
	// stream's place among those that catch up is another's.
	slowTimeout = time.Second
	// farewellTimeout is how long the end of a stream waits for its client to read.
	farewellTimeout = time.Second
	// closeTimeout bounds closing a subscription.
	closeTimeout = 10 * time.Second
	// readAhead bounds the payload bytes read ahead of the credit, and readAheadLive
	// those of a stream that reads no history. The larger one makes pages, and
	// messages, of 128 KiB, which cost a tenth less for each event than those of 64.
	readAhead     = 2 << 20
	readAheadLive = 1 << 20
)

type subscribeStream = grpc.BidiStreamingServer[pb.SubscribeRequest, pb.SubscribeResponse]

// session is one subscription of a caller.
type session struct {
	server *Server
	caller
	id     string
	conf   *config
	stream subscribeStream

	ctx    context.Context
	cancel context.CancelCauseFunc
	out    outbox
	store  positionStore // set before the session is registered
	sub    *stream.Subscription
	// sending is when the message at work was given to the transport, in Unix
	// nanoseconds; 0 when there is none.
	sending atomic.Int64
	// ticket is the place among those that catch up.
	ticket *ticket
	// refused counts the aggregates with a batch that the client does not accept; the
	// pump's own.
	refused int
	// unanswered counts the look-ups that the client is late to answer.
	unanswered atomic.Int64

	mu     sync.Mutex
	ledger *delivery.Ledger
	// seen counts the aggregates whose positions the gateway remembers, if nobody
	// else does.
	seen    int
	leaving bool // no intake any more
	// halfClosed: the client acknowledges nothing any more.
	halfClosed bool
	// progressed is when the client last acknowledged, judged or said that it works.
	progressed time.Time
	// credit holds a token when credit came back; orders one when the pump has an
	// order or is to stop.
	credit chan struct{}
	wake   chan struct{}
	orders []order
	// wait is the context of the pump's waits for changes, nil before the first;
	// interrupt ends it.
	wait      context.Context
	interrupt context.CancelCauseFunc
	away      *time.Timer // ends the grace
	heart     *time.Timer // has the state told

	// Of a named stream.
	parking parking
	failing failures
	owned   map[uint32]uint64 // the epochs of its partitions
}

// order is something the pump does between two slices.
type order struct {
	hold    []msg.Key
	id      uint64 // of the hold
	release []msg.Key
	redo    []msg.Key
	verdict *verdict
	parked  []msg.Key // held again until the next look at requests
	started []checkpoint.Entry
}

// subscriptionService implements the service.
type subscriptionService struct {
	pb.UnimplementedSubscriptionServiceServer
	server *Server
}

// Subscribe implements the service.
func (s *subscriptionService) Subscribe(stream subscribeStream) error {
	return statusOf(s.server.subscribe(stream), false)
}

func (s *Server) subscribe(from subscribeStream) error {
	ses := &session{
		server: s,
		caller: callerOf(from.Context()),
		id:     randomID(),
		stream: from,
		credit: make(chan struct{}, 1),
		wake:   make(chan struct{}, 1),
	}
	ses.out.init(ses.send)
	ses.ctx, ses.cancel = context.WithCancelCause(from.Context())
	defer ses.cancel(errDrained)
	open, err := ses.open()
	if err != nil {
		return err
	}
	if ses.conf, err = configure(open, s.opts.Limits); err != nil {
		return err
	}
	if err := s.authorize(ses.ctx, ses.caller, "Subscribe", access.Read, ses.conf.resources()...); err != nil {
		return err
	}
	if err := ses.authorizeName(); err != nil {
		return err
	}
	if ses.conf.holder == byGateway {
		ses.failing, ses.owned = make(failures), make(map[uint32]uint64)
	}
	ses.ledger = delivery.NewLedger(ses.conf.credit)
	ses.store = newPositionStore(ses)
	if err := s.enter(ses); err != nil {
		if err != error(errStopping) {
			s.denied(from.Context(), err)
		}
		return err
	}
	defer s.leave(ses)
	err = ses.run()
	s.evicted(from.Context(), err)
	return err
}

// open receives the first message in time.
func (ses *session) open() (*pb.Open, error) {
	timer := time.AfterFunc(openTimeout, func() {
		ses.cancel(invalid(fmt.Errorf("no Open came within %v", openTimeout)))
	})
	defer timer.Stop()
	first := make(chan *pb.SubscribeRequest, 1)
	failed := make(chan error, 1)
	go func() { // ends with the stream
		request, err := ses.stream.Recv()
		if err != nil {
			failed <- err
			return
		}
		first <- request
	}()
	select {
	case request := <-first:
		if open := request.GetOpen(); open != nil {
			return open, nil
		}
		return nil, invalid(errors.New("the first message is no Open"))
	case err := <-failed:
		return nil, err
	case <-ses.ctx.Done():
		return nil, context.Cause(ses.ctx)
	}
}

// run serves the stream until it ends.
func (ses *session) run() error {
	ended := make(chan struct{})
	context.AfterFunc(ses.ctx, func() {
		defer close(ended)
		ses.out.finish()
		ses.revoke(context.Cause(ses.ctx))
	})
	ses.out.control(&pb.SubscribeResponse{Message: &pb.SubscribeResponse_Opened{Opened: &pb.Opened{
		StreamId: ses.id, Effective: ses.conf.effective, Features: features, Gateway: ses.server.opts.Name,
	}}})
	age := time.AfterFunc(jittered(ses.server.opts.MaxStreamAge, mathrand.Float64()), func() {
		ses.goAway(pb.GoAwayReason_GO_AWAY_REASON_MAX_AGE, 0)
	})
	defer age.Stop()
	ses.mu.Lock()
	ses.heart = time.AfterFunc(heartbeat, ses.beat)
	ses.mu.Unlock()
	go ses.receive() // Recv ends with the stream, when this handler has returned
	ses.follow()
	farewell(ended)
	ses.mu.Lock()
	for _, timer := range []*time.Timer{ses.away, ses.heart, ses.parking.timer} {
		if timer != nil {
			timer.Stop()
		}
	}
	ses.mu.Unlock()
	if err := context.Cause(ses.ctx); !errors.Is(err, errDrained) {
		return err
	}
	return nil
}

// farewell waits until the sender has ended. A client that does not read holds up the
// sender, but not the end of its stream: the transport ends the sender when the handler
// has returned.
func farewell(ended <-chan struct{}) {
	timer := time.NewTimer(farewellTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// end ends the stream with a cause; the first counts.
func (ses *session) end(cause error) { ses.cancel(cause) }

// follow waits for its turn, subscribes and pumps, until the session ends.
func (ses *session) follow() {
	ticket := ses.server.admission.enter(ses.principal.Name)
	ses.mu.Lock()
	ses.ticket = ticket
	ses.mu.Unlock()
	defer ses.server.admission.leave(ticket)
	if !ses.conf.live {
		if err := ses.queue(ticket); err != nil {
			return
		}
	} else {
		ses.server.admission.leave(ticket)
	}
	sub, err := ses.subscribe()
	if err != nil {
		ses.end(err)
		return
	}
	ses.subscribed(sub)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ses.ctx), closeTimeout)
		defer cancel()
		if err := sub.Close(ctx); err != nil {
			ses.server.opts.Logger.Warn("a subscription does not close", "stream", ses.id, "cause", err)
		}
	}()
	ses.end(ses.pump(sub, ticket))
}

// subscribed says that there is a subscription from now on, and has its state told: one
// that was told while it was being opened said that the stream waits for its turn.
func (ses *session) subscribed(sub *stream.Subscription) {
	ses.mu.Lock()
	ses.sub = sub
	ses.mu.Unlock()
	ses.out.touch()
}

// queue waits for its turn and tells the client so.
func (ses *session) queue(t *ticket) error {
	for {
		ctx, cancel := context.WithTimeout(ses.ctx, time.Second)
		err := t.wait(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if ses.ctx.Err() != nil {
			return err
		}
		ses.out.state(&pb.State{Phase: pb.Phase_PHASE_QUEUED, QueuePosition: uint64(ses.server.admission.position(t))})
	}
}

// subscribe opens the subscription at the client of the event store.
func (ses *session) subscribe() (*stream.Subscription, error) {
	if ses.conf.holder == byGateway {
		return ses.subscribeNamed()
	}
	opts := []celeriant.WatchOption{
		celeriant.WithName("gateway stream " + ses.id),
		celeriant.WithStart(ses.conf.start),
		celeriant.WithContinuation(ses.conf.continuation),
		celeriant.WithBuffer(ses.readAhead()),
		celeriant.WithOnState(func(stream.State) { ses.out.touch() }),
	}
	if !ses.conf.live {
		opts = append(opts, celeriant.WithCheckpoints(ses.store))
	}
	return ses.server.client.Watch(ses.conf.scope, opts...).Subscribe(ses.ctx)
}

// readAhead is how much is read ahead of the credit.
func (ses *session) readAhead() int64 {
	if ses.conf.live {
		return min(ses.conf.credit.Bytes, readAheadLive)
	}
	return min(ses.conf.credit.Bytes, readAhead)
}

// leave ends intake. The stream ends when nothing is outstanding any more, or with
// the client's half-close.
func (ses *session) leave() {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.leaving = true
	ses.wakeLocked()
	ses.settleLocked()
}

// settleLocked has a session that leaves end when nothing is outstanding.
func (ses *session) settleLocked() {
	if n, _ := ses.ledger.Outstanding(); ses.leaving && (n == 0 || ses.halfClosed) && !ses.store.storing() {
		ses.out.settle()
	}
}

// goAway asks the client to reconnect, and ends the stream when it has acknowledged
// what is outstanding, or after the grace.
func (ses *session) goAway(reason pb.GoAwayReason, reconnectAfter time.Duration) {
	grace := ses.server.opts.DrainGrace
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.away != nil {
		return
	}
	ses.away = time.AfterFunc(grace, func() { ses.end(errDrained) })
	ses.leaving = true
	ses.wakeLocked()
	ses.out.control(&pb.SubscribeResponse{Message: &pb.SubscribeResponse_GoAway{GoAway: &pb.GoAway{
		ReconnectAfter: durationpb.New(reconnectAfter), Grace: durationpb.New(grace), Reason: reason,
	}}})
	ses.settleLocked()
}

// inspect ends the session if its client does not read, its credential has ended
// or its right was lost.
func (ses *session) inspect(now time.Time, authorize bool) {
	if since := ses.sending.Load(); since != 0 {
		switch late := now.Sub(time.Unix(0, since)); {
		case late > stallTimeout:
			ses.end(&refusal{code: codes.Aborted, reason: "STALLED", text: fmt.Sprintf("the client has not read for %v", stallTimeout)})
			return
		case late > slowTimeout:
			// A client that does not read keeps no other from catching up.
			ses.mu.Lock()
			ticket := ses.ticket
			ses.mu.Unlock()
			if ticket != nil {
				ses.server.admission.yield(ticket)
			}
		}
	}
	ses.inspectProgress(now)
	expires := ses.principal.Expires
	if !authorize && (expires.IsZero() || now.Before(expires)) {
		return
	}
	ctx, cancel := context.WithTimeout(ses.ctx, time.Second)
	defer cancel()
	s := ses.server
	if s.opts.Authenticator != nil {
		p, err := s.opts.Authenticator.Authenticate(ctx, ses.credentials)
		if err == nil && p.Name != ses.principal.Name {
			err = access.ErrUnauthenticated
		}
		if err != nil {
			s.audit(ctx, ses.caller, "Subscribe", "", err)
			ses.end(err)
			return
		}
	}
	err := s.authorize(ctx, ses.caller, "Subscribe", access.Read, ses.conf.resources()...)
	if err == nil {
		err = ses.authorizeName()
	}
	if err != nil {
		ses.end(err)
	}
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// signal leaves a token in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
