package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Read returns one page of one aggregate, which others may have been given, too:
// it must not be written to. ctx ends only the caller's wait, as long as somebody
// else waits for the same read. Reads with filters other than versions, and those
// at the node that is thought to lead before it has said so itself, are not
// shared.
func (s *Shared) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	if !s.shareable(node, req) {
		return s.readAlone(ctx, node, req)
	}
	for exact := false; ; exact = true {
		k, err := s.share(ctx, node, req, exact)
		if err != nil {
			return nil, err
		}
		if k.within(req.Filters.To) {
			return k.cut(req.Filters.To), nil
		}
	}
}

func (s *Shared) shareable(node string, req *msg.ReadRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return versionsOnly(&req.Filters) && s.hub.shares(node)
}

func versionsOnly(f *msg.ReadFilters) bool {
	return f.EventTypes == nil &&
		!f.ExcludeClientID.Set && !f.IncludeClientID.Set && !f.ExcludeUserID.Set && !f.IncludeUserID.Set &&
		!f.MinServerTimestamp.Set && !f.MaxServerTimestamp.Set && !f.MinClientSeq.Set && !f.MaxClientSeq.Set &&
		!f.MinEventTimestamp.Set && !f.MaxEventTimestamp.Set && !f.MinEventSeq.Set && !f.MaxEventSeq.Set
}

func (s *Shared) readAlone(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	s.mu.Lock()
	s.hub.stats.Asked++
	s.hub.stats.Sent++
	s.mu.Unlock()
	resp, err := s.src.Read(ctx, node, req)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.pages.heard(req.Key)
	return resp, err
}

// share returns a page for the request: one at hand, that of a read under way,
// or that of a read of its own.
func (s *Shared) share(ctx context.Context, node string, req *msg.ReadRequest, exact bool) (*page, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	k, f, err := s.ask(node, req, exact)
	if f == nil {
		return k, err
	}
	select {
	case <-f.done:
		return f.page, f.err
	case <-ctx.Done():
		s.abandon(f)
		return nil, fmt.Errorf("stream: waiting for a read of %v: %w", req.Key, context.Cause(ctx))
	}
}

func (s *Shared) ask(node string, req *msg.ReadRequest, exact bool) (*page, *flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrShareClosed
	}
	stats := &s.hub.stats
	if !exact {
		stats.Asked++
	}
	k, f, fresh := s.hub.pages.ask(node, req.Key, req.Filters.From, req.Filters.To, exact)
	switch {
	case k != nil:
		stats.Kept++
		return k, nil, nil
	case fresh:
		stats.Sent++
		s.send(f)
	default:
		stats.Joined++
	}
	f.waiters++
	return nil, f, nil
}

// send starts a read that outlives the one who asked first. The caller holds the
// lock.
func (s *Shared) send(f *flight) {
	ctx, cancel := context.WithCancel(s.ctx)
	f.cancel, f.done = cancel, make(chan struct{})
	s.work.Go(func() {
		defer cancel()
		resp, err := s.src.Read(ctx, f.node, &msg.ReadRequest{Key: f.key, Filters: msg.ReadFilters{From: f.from, To: f.to}})
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			f.page = &page{node: f.node, key: f.key, from: f.from, to: f.to, batches: resp.Batches, next: resp.NextVersion}
		}
		if f.err = err; err != nil && s.closed {
			f.err = ErrShareClosed
		}
		if f.waiters > 0 { // or else nobody has heard of anything
			s.hub.pages.answered(time.Now(), f, f.page)
			s.arm()
		}
		close(f.done)
	})
}

// abandon takes one off those who wait for a read, and ends it with the last.
func (s *Shared) abandon(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		s.hub.pages.abandon(f)
		f.cancel()
	}
}
