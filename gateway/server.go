package gateway

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/celeriant/celeriant-go"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
)

// Server serves a client's event store to callers. A Server is safe for
// concurrent use.
type Server struct {
	client    *celeriant.Client
	opts      Options
	grpc      *grpc.Server
	health    *health.Server
	admission *admission
	budgets   *budgets
	lists     *listTokens

	ctx    context.Context
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	sessions map[*session]struct{}
	callers  map[string]int // streams of each principal
	draining bool
	idle     chan struct{} // closed when draining and no session is left
}

// NewServer makes a server of a client, which stays the caller's: close it after
// [Server.Shutdown]. NewServer fails with an [*OptionError].
func NewServer(client *celeriant.Client, opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		client:    client,
		opts:      opts,
		health:    health.NewServer(),
		admission: newAdmission(opts.Limits.CatchUps, opts.Limits.CatchUpsPerCaller),
		budgets:   newBudgets(opts.Limits.Verifications),
		lists:     newListTokens(),
		sessions:  make(map[*session]struct{}),
		callers:   make(map[string]int),
		idle:      make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.grpc = grpc.NewServer(s.grpcOptions()...)
	pb.RegisterSubscriptionServiceServer(s.grpc, &subscriptionService{server: s})
	pb.RegisterEventServiceServer(s.grpc, &eventService{server: s})
	services := []string{"", pb.SubscriptionService_ServiceDesc.ServiceName, pb.EventService_ServiceDesc.ServiceName}
	if opts.Writes {
		pb.RegisterCommandServiceServer(s.grpc, &commandService{server: s})
		services = append(services, pb.CommandService_ServiceDesc.ServiceName)
	}
	healthpb.RegisterHealthServer(s.grpc, s.health)
	for _, service := range services {
		s.health.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
	}
	if opts.Reflection {
		reflection.Register(s.grpc)
	}
	s.work.Go(s.watchOver)
	return s, nil
}

func (s *Server) grpcOptions() []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		// A connection writes the messages of a catch-up in few calls, and keeps no buffer
		// while it is idle.
		grpc.WriteBufferSize(128 << 10),
		grpc.MaxConcurrentStreams(s.opts.Limits.StreamsPerConnection),
		grpc.MaxRecvMsgSize(s.opts.Limits.MessageBytes),
		grpc.MaxHeaderListSize(s.opts.Limits.HeaderBytes),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second, MaxConnectionAge: s.opts.MaxStreamAge}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	}
	if s.opts.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.opts.TLS)))
	}
	if s.opts.StatsHandler != nil {
		options = append(options, grpc.StatsHandler(s.opts.StatsHandler))
	}
	return options
}

// Serve answers callers on a listener until [Server.Shutdown]; then it returns nil.
// Serve may be called for several listeners.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.grpc.Serve(newBoundedListener(listener, s.opts.Limits.ConnectionsPerAddress, s.connectionRefused)); err != nil && s.ctx.Err() == nil {
		return fmt.Errorf("gateway: serving %s: %w", listener.Addr(), err)
	}
	return nil
}

// Ready reports whether the server accepts streams: it does not drain, and its
// authorization file, if it has one, is good.
func (s *Server) Ready() error {
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	if draining {
		return errStopping
	}
	for _, source := range []any{s.opts.Authenticator, s.opts.Authorizer} {
		if file, ok := source.(interface{ Err() error }); ok {
			if err := file.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

var errStopping = &refusal{code: 14, reason: "STOPPING", text: "the gateway stops", retry: time.Second} // UNAVAILABLE

// enter registers a session, within the limits.
func (s *Server) enter(ses *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch caller := ses.principal.Name; {
	case s.draining && s.opts.DrainDelay == 0, s.ctx.Err() != nil:
		return errStopping
	case s.callers[caller] >= s.opts.Limits.StreamsPerCaller:
		return exhausted("STREAMS_PER_CALLER", fmt.Sprintf("the caller has %d subscriptions: the limit is %d", s.callers[caller], s.opts.Limits.StreamsPerCaller))
	default:
		s.callers[caller]++
		s.sessions[ses] = struct{}{}
		return nil
	}
}

func (s *Server) leave(ses *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ses)
	if s.callers[ses.principal.Name]--; s.callers[ses.principal.Name] == 0 {
		delete(s.callers, ses.principal.Name)
	}
	if s.draining && len(s.sessions) == 0 {
		closeOnce(s.idle)
	}
}

func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// running returns the sessions of this moment.
func (s *Server) running() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.sessions))
	for ses := range s.sessions {
		all = append(all, ses)
	}
	return all
}

// watchOver authorizes running streams again, and ends those that have not sent for
// too long.
func (s *Server) watchOver() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	changed := s.changes()
	last := time.Now()
	for {
		reloaded := false
		select {
		case <-s.ctx.Done():
			return
		case <-changed[0]:
			reloaded = true
		case <-changed[1]:
			reloaded = true
		case <-tick.C:
		}
		now := time.Now()
		due := reloaded || now.Sub(last) >= s.opts.Reauthorize
		if reloaded {
			changed = s.changes()
		}
		if due {
			last = now
		}
		for _, ses := range s.running() {
			ses.inspect(now, due)
		}
	}
}

// changes are the channels that tell of other answers, nil for none.
func (s *Server) changes() [2]<-chan struct{} {
	var changed [2]<-chan struct{}
	for i, source := range []any{s.opts.Authenticator, s.opts.Authorizer} {
		if r, ok := source.(interface{ Changed() <-chan struct{} }); ok {
			changed[i] = r.Changed()
		}
	}
	return changed
}
