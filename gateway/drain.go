package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
)

// Shutdown ends the server so that its clients move elsewhere without a rush:
// health says that it is not serving; after DrainDelay streams are asked to leave,
// spread over DrainWindow; each may acknowledge for DrainGrace, what it
// acknowledged is stored, and it ends. Then connections close.
//
// When ctx ends, all that is left ends at once and Shutdown returns ctx's cause;
// what was acknowledged by then is stored.
func (s *Server) Shutdown(ctx context.Context) error {
	s.health.Shutdown()
	s.mu.Lock()
	s.draining = true
	if len(s.sessions) == 0 {
		closeOnce(s.idle)
	}
	s.mu.Unlock()
	drained := s.drain(ctx)
	s.cancel(errStopping)
	s.lists.close()
	stopped := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		s.grpc.Stop()
		<-stopped
	}
	s.work.Wait()
	if drained != nil {
		return fmt.Errorf("gateway: shutting down: %w", drained)
	}
	return nil
}

// drain asks all sessions to leave and waits for them.
func (s *Server) drain(ctx context.Context) error {
	if len(s.running()) == 0 {
		return nil
	}
	if err := pause(ctx, s.opts.DrainDelay); err != nil {
		return err
	}
	s.mu.Lock()
	s.opts.DrainDelay = 0 // no further stream is accepted
	s.mu.Unlock()
	sessions := s.running()
	for i, ses := range sessions {
		if err := pause(ctx, s.opts.DrainWindow/time.Duration(len(sessions))); err != nil {
			return err
		}
		// The rest of the window spreads the clients' return.
		left := s.opts.DrainWindow * time.Duration(len(sessions)-i-1) / time.Duration(len(sessions))
		ses.goAway(pb.GoAwayReason_GO_AWAY_REASON_SHUTDOWN, left/10)
	}
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errDrained = errors.New("gateway: the stream left")
