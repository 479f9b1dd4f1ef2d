package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/celeriant/celeriant-go/gateway/access"
)

// caller is who makes a call, with what it has shown.
type caller struct {
	principal   access.Principal
	credentials access.Credentials
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// unary authenticates a call and checks that it is understood.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	began := time.Now()
	defer func() { s.called(info.FullMethod, began, err) }()
	ctx, err = s.admit(ctx, info.FullMethod)
	if err == nil {
		err = understood(req)
	}
	if err != nil {
		return nil, statusOf(err, false)
	}
	return handler(ctx, req)
}

// stream is unary for streams, each of whose requests is checked.
func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := s.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return statusOf(err, false)
	}
	err = handler(srv, &admitted{stream, ctx})
	if refused := new(refusal); errors.As(err, &refused) { // of what the generated code received
		return statusOf(refused, false)
	}
	return err
}

// admitted is a stream of an authenticated caller.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a *admitted) Context() context.Context { return a.ctx }

// RecvMsg implements grpc.ServerStream.
func (a *admitted) RecvMsg(m any) error {
	if err := a.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return understood(m)
}

// admit authenticates the caller. Health needs no credentials: probes have none.
func (s *Server) admit(ctx context.Context, method string) (context.Context, error) {
	if strings.HasPrefix(method, "/"+healthpb.Health_ServiceDesc.ServiceName+"/") {
		return ctx, nil
	}
	c := caller{principal: access.Principal{Name: "anonymous", Tenant: "anonymous", ActForOthers: true}}
	if s.opts.Authenticator != nil {
		var err error
		if c.credentials, err = credentialsOf(ctx); err == nil {
			c.principal, err = s.opts.Authenticator.Authenticate(ctx, c.credentials)
		}
		if err != nil {
			s.audit(ctx, caller{}, method, "", err)
			return nil, err
		}
	}
	c.principal.Tenant = orDefault(c.principal.Tenant, c.principal.Name)
	return context.WithValue(ctx, callerKey{}, c), nil
}

// credentialsOf reads what a caller shows: one Authorization header at most.
func credentialsOf(ctx context.Context) (access.Credentials, error) {
	var c access.Credentials
	if from, ok := peer.FromContext(ctx); ok {
		if tls, ok := from.AuthInfo.(credentials.TLSInfo); ok {
			c.Certificate = verified(tls.State.VerifiedChains)
		}
	}
	switch values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) {
	case 0:
	case 1:
		token, ok := bearer(values[0])
		if !ok {
			return c, access.ErrUnauthenticated
		}
		c.Bearer = token
	default:
		return c, &refusal{code: codes.Unauthenticated, reason: "UNAUTHENTICATED", text: "there are several authorization headers"}
	}
	return c, nil
}

// verified returns the caller's own certificate of a chain that was verified.
func verified(chains [][]*x509.Certificate) *x509.Certificate {
	if len(chains) == 0 || len(chains[0]) == 0 {
		return nil
	}
	return chains[0][0]
}

// bearer returns the token of an Authorization header.
func bearer(header string) (string, bool) {
	const scheme = "bearer "
	if len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	return strings.TrimSpace(header[len(scheme):]), true
}

// authorize answers whether the caller may, and writes a line when it may not.
func (s *Server) authorize(ctx context.Context, c caller, call string, action access.Action, resources ...access.Resource) error {
	for _, r := range resources {
		if err := s.allowed(ctx, c, action, r); err != nil {
			s.audit(ctx, c, call, r.String(), err)
			return err
		}
	}
	return nil
}

func (s *Server) allowed(ctx context.Context, c caller, action access.Action, r access.Resource) error {
	if s.opts.Authorizer == nil {
		return nil
	}
	return s.opts.Authorizer.Authorize(ctx, c.principal, action, r)
}

// audit writes a line for a decision.
func (s *Server) audit(ctx context.Context, c caller, call, resource string, err error) {
	decision := "allowed"
	if err != nil {
		decision = "denied"
		s.denied(ctx, err)
	}
	s.opts.Audit.InfoContext(ctx, "access", "principal", c.principal.Name, "call", call, "resource", resource, "decision", decision)
}
