package server

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/celerianttest/internal/route"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// Server is what the connections of a node share: its shards, limits and switches.
type Server struct {
	Limits   Limits
	Router   route.Router
	Coder    *wire.Coder // nil without compression
	Replicas []*replica.Replica
	TLS      *tls.Config // nil for plain connections

	Role        atomic.Pointer[replica.Role]
	Paused      Gate
	Counters    Counters
	connections atomic.Int64 // numbers given out
	// Interceptor is asked about every frame, if there is one.
	Interceptor atomic.Pointer[func(*Frame) Verdict]

	// Access says what an API key allows, nil where none is demanded.
	Access func(sent msg.Opt[string]) (msg.AccessLevel, *refusal.Refusal)
	Clock  func() time.Time
}

// Limits are the options of a node that concern its connections.
type Limits struct {
	MaxRequestSize, MaxResponseSize    uint32
	IdleTimeout, MaxLatency, Heartbeat time.Duration
	RequireIdentity, Quirks            bool
	Seed                               uint64
}

func (s *Server) now() uint64 { return uint64(max(s.Clock().UnixMilli(), 0)) }

// judge asks the interceptor, if there is one.
func (s *Server) judge(f *Frame) Verdict {
	intercept := s.Interceptor.Load()
	if intercept == nil {
		return Verdict{}
	}
	v := (*intercept)(f)
	if v.Action != Pass {
		s.Counters.Verdicts.Add(1)
	}
	return v
}
