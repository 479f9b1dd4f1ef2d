package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// errWatchClosed ends a watch that its subscriber closed.
var errWatchClosed = errors.New("stream: watch closed")

// sharedWatch is one subscriber's place on shared connections.
type sharedWatch struct {
	shared *Shared
	member *member // guarded by shared.mu
	// wake holds a token after the member has changed.
	wake chan struct{}
	// hasListener: frames are handed to a listener, and Next is not called. Guarded by
	// shared.mu.
	hasListener bool
}

// pushWatch is a watch that hands its frames to a listener, so that no goroutine waits
// for them.
type pushWatch interface {
	// setListener has a listener called from now on, in place of Next.
	setListener(l listener)
}

func (w *sharedWatch) setListener(l listener) {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	w.hasListener, w.member.listener, w.wake = true, l, nil
	if w.member.err != nil || w.member.ready {
		w.signal()
	}
}

// deliver hands over the queued frames, and the end.
func (w *sharedWatch) deliver() {
	for {
		frame, ok, err := w.nextDelivery()
		switch {
		case err != nil:
			w.member.listener.lost(err)
			return
		case !ok:
			return
		}
		w.member.listener.receive(frame, true)
	}
}

// nextDelivery takes the queued notifications; ok is false when there are none, and
// at the end.
func (w *sharedWatch) nextDelivery() (frame []msg.Notification, ok bool, err error) {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	m := w.member
	switch {
	case m.err != nil:
		return nil, false, m.err
	case !m.ready:
		m.delivering = false
		m.queue.drop() // most frames pass it by
		return nil, false, nil
	}
	m.ready = false
	return m.queue.take(), true, nil
}

// Watch joins a connection that covers the request, or waits until one is open.
// ctx bounds only the waiting; the connection is opened for everyone and goes on.
// Its failure is the failure of all who wait for it. Watches without a shard,
// with a choice of operations, with an empty set or with a latency above 2 s are
// not shared.
func (s *Shared) Watch(ctx context.Context, follower bool, req *msg.WatchRequest) (Watch, error) {
	key, filter, ok := sharedFilter(follower, req)
	if !ok {
		return s.watchAlone(ctx, follower, req)
	}
	w := &sharedWatch{shared: s, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrShareClosed
	}
	w.member = s.hub.join(time.Now(), key, filter, w.signal)
	s.runEffects()
	s.mu.Unlock()
	for {
		watched, err := w.joined()
		if err != nil {
			return nil, err
		}
		if watched {
			return w, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			err := fmt.Errorf("stream: waiting for the watch of shard %d: %w", key.shard, context.Cause(ctx))
			w.leave(err)
			return nil, err
		}
	}
}

// signal never blocks: its callers hold the lock.
func (w *sharedWatch) signal() {
	if w.hasListener {
		if !w.member.delivering {
			w.member.delivering = true
			go w.deliver()
		}
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *sharedWatch) joined() (bool, error) {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	return w.member.upstream != nil, w.member.err
}

// Next returns the notifications since the last call, merged. An empty result is a
// heartbeat; at most one a second is passed on.
func (w *sharedWatch) Next(ctx context.Context) ([]msg.Notification, error) {
	for {
		if ctx.Err() != nil {
			w.leave(fmt.Errorf("stream: watching: %w", context.Cause(ctx)))
		}
		if frame, ok, err := w.poll(); ok || err != nil {
			return frame, err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
		}
	}
}

func (w *sharedWatch) poll() (frame []msg.Notification, ok bool, err error) {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	m := w.member
	if m.err != nil {
		w.signal() // for other callers of Next
		return nil, false, m.err
	}
	if !m.ready {
		return nil, false, nil
	}
	m.ready = false
	return m.queue.take(), true, nil
}

func (w *sharedWatch) leave(cause error) {
	w.shared.apply(func(h *hub, now time.Time) { h.leave(now, w.member, cause) })
}

// Close ends the watch.
func (w *sharedWatch) Close() error {
	w.leave(errWatchClosed)
	return nil
}

// Node returns the address of the node that is watched. The address stays
// the same when the watch moves to another connection.
func (w *sharedWatch) Node() string {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	return w.member.node
}

// watchAlone opens a watch that is not shared. Its notifications still invalidate the
// pages of their aggregates.
func (s *Shared) watchAlone(ctx context.Context, follower bool, req *msg.WatchRequest) (Watch, error) {
	w, err := s.src.Watch(ctx, follower, req)
	s.invalidatePages()
	if err != nil {
		return nil, err
	}
	return &privateWatch{w, s}, nil
}

type privateWatch struct {
	Watch
	shared *Shared
}

func (w *privateWatch) Next(ctx context.Context) ([]msg.Notification, error) {
	frame, err := w.Watch.Next(ctx)
	if err != nil {
		w.shared.invalidatePages()
		return frame, err
	}
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	for i := range frame {
		w.shared.hub.pages.invalidate(frame[i].Key)
	}
	return frame, nil
}

// invalidatePages keeps all present pages and reads from later callers.
func (s *Shared) invalidatePages() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.pages.invalidateAll()
}
