package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// Read returns one page of one aggregate. Other subscribers may be given the same page:
// it must not be written to. ctx ends only the caller's own wait, not that of others
// who wait for the same read. Reads with filters other than versions are not shared,
// nor reads at a presumed leader that has not answered that it leads.
func (s *Shared) Read(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	if !s.shareable(node, req) {
		return s.readAlone(ctx, node, req)
	}
	for exact := false; ; exact = true {
		k, err := s.sharedRead(ctx, node, req, exact)
		if err != nil {
			return nil, err
		}
		if k.answers(req.Filters.To) {
			return k.upTo(req.Filters.To), nil
		}
	}
}

// ReadFresh is Read for a subscriber that doubts a page: the node itself answers, and
// pages of the aggregate that were read before are shared no more.
func (s *Shared) ReadFresh(ctx context.Context, node string, req *msg.ReadRequest) (*msg.ReadResponse, error) {
	return s.readAlone(ctx, node, req)
}

func (s *Shared) shareable(node string, req *msg.ReadRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return versionsOnly(&req.Filters) && s.hub.mayShare(node)
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
	s.hub.pages.invalidate(req.Key)
	return resp, err
}

// errLeft ends a joined read whose maker has left.
var errLeft = errors.New("stream: whoever read has left")

// sharedRead returns a page for the request: a kept one, that of a read under way, or
// that of a read the caller makes itself, for all who join it. Reading on another
// goroutine would cost two wake-ups. So when the caller leaves, its read ends, and one
// of the joined callers reads instead.
func (s *Shared) sharedRead(ctx context.Context, node string, req *msg.ReadRequest, exact bool) (*page, error) {
	for again := exact; ; again = true {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		k, f, fresh, err := s.lookup(ctx, node, req, exact, again)
		switch {
		case f == nil:
			return k, err
		case fresh:
			return s.send(ctx, f)
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

// lookup returns a page, or a read under way, or a fresh one to be made; again is set
// when the caller has asked for the page before.
func (s *Shared) lookup(ctx context.Context, node string, req *msg.ReadRequest, exact, again bool) (k *page, f *flight, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, false, ErrShareClosed
	}
	stats := &s.hub.stats
	if !again {
		stats.Asked++
	}
	k, f, fresh = s.hub.pages.lookup(node, req.Key, req.Filters.From, req.Filters.To, exact)
	switch {
	case k != nil:
		stats.Kept++
		return k, nil, false, nil
	case fresh:
		stats.Sent++
		f.ctx, f.cancel = context.WithCancel(ctx)
		s.inFlight[f] = struct{}{}
	default:
		stats.Joined++
		if f.done == nil {
			f.done = make(chan struct{})
		}
	}
	return nil, f, fresh, nil
}

// send makes a read; ctx is its maker's.
func (s *Shared) send(ctx context.Context, f *flight) (*page, error) {
	resp, err := s.src.Read(f.ctx, f.node, &msg.ReadRequest{Key: f.key, Filters: msg.ReadFilters{From: f.from, To: f.to}})
	f.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inFlight, f)
	if err == nil {
		f.page = &page{node: f.node, key: f.key, from: f.from, to: f.to, batches: resp.Batches, next: resp.NextVersion}
	}
	f.err = err
	switch {
	case err != nil && s.closed:
		err, f.err = ErrShareClosed, ErrShareClosed
	case err != nil && ctx.Err() != nil:
		f.err = errLeft
		s.hub.pages.abandon(f) // no subscriber has seen an answer
	default:
		s.hub.pages.complete(time.Now(), f, f.page)
		s.armFor(s.hub.pages.expiry())
	}
	if f.done != nil {
		close(f.done)
	}
	return f.page, err
}
