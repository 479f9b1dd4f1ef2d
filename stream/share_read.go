package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Read returns one page of one aggregate, which others may have been given, too:
// it must not be written to. ctx ends the caller's wait, and takes nothing from
// others who wait for the same read. Reads with filters other than versions, and those
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

// ReadFresh is Read for somebody who doubts what the node has shown: it is answered by
// the node itself, and pages of the aggregate that were read before are shared no more.
func (s *Shared) ReadFresh(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	return s.readAlone(ctx, node, req)
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

// errLeft is the end of a read for those who joined it: who made it has left.
var errLeft = errors.New("stream: whoever read has left")

// share returns a page for the request: one at hand, that of a read under way, or
// that of a read the caller makes itself, for all who join it. To have another
// goroutine read would cost two wake-ups; so when the caller leaves, its read ends,
// and one of those who joined it reads instead.
func (s *Shared) share(ctx context.Context, node string, req *msg.ReadRequest, exact bool) (*page, error) {
	for again := exact; ; again = true {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		k, f, fresh, err := s.ask(ctx, node, req, exact, again)
		switch {
		case f == nil:
			return k, err
		case fresh:
			return s.fly(ctx, f)
		}
		select {
		case <-f.done:
			if f.err != errLeft {
				return f.page, f.err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("stream: waiting for a read of %v: %w", req.Key, context.Cause(ctx))
		}
	}
}

// ask returns a page, or a read under way, or a fresh one to be made; again tells
// that it was asked for before.
func (s *Shared) ask(ctx context.Context, node string, req *msg.ReadRequest, exact, again bool) (k *page, f *flight, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, false, ErrShareClosed
	}
	stats := &s.hub.stats
	if !again {
		stats.Asked++
	}
	k, f, fresh = s.hub.pages.ask(node, req.Key, req.Filters.From, req.Filters.To, exact)
	switch {
	case k != nil:
		stats.Kept++
		return k, nil, false, nil
	case fresh:
		stats.Sent++
		f.ctx, f.cancel = context.WithCancel(ctx)
		s.flying[f] = struct{}{}
	default:
		stats.Joined++
		if f.done == nil {
			f.done = make(chan struct{})
		}
	}
	return nil, f, fresh, nil
}

// fly makes a read; ctx is that of who makes it.
func (s *Shared) fly(ctx context.Context, f *flight) (*page, error) {
	resp, err := s.src.Read(f.ctx, f.node, &msg.ReadRequest{Key: f.key, Filters: msg.ReadFilters{From: f.from, To: f.to}})
	f.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flying, f)
	if err == nil {
		f.page = &page{node: f.node, key: f.key, from: f.from, to: f.to, batches: resp.Batches, next: resp.NextVersion}
	}
	f.err = err
	switch {
	case err != nil && s.closed:
		err, f.err = ErrShareClosed, ErrShareClosed
	case err != nil && ctx.Err() != nil:
		f.err = errLeft
		s.hub.pages.abandon(f) // nobody has heard of anything
	default:
		s.hub.pages.answered(time.Now(), f, f.page)
		s.armFor(s.hub.pages.expiry())
	}
	if f.done != nil {
		close(f.done)
	}
	return f.page, err
}
