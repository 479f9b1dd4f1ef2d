package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// errUnwatched ends a watch that its subscriber closed.
var errUnwatched = errors.New("stream: watch closed")

// sharedWatch is one subscriber's place on shared connections.
type sharedWatch struct {
	shared *Shared
	member *member // guarded by shared.mu
	// wake holds a token when the member changed.
	wake chan struct{}
	// attended: a listener is served, and Next is not called. Guarded by shared.mu.
	attended bool
}

// attendable is a watch that needs no goroutine that waits for it.
type attendable interface {
	// attend has a listener called from now on, in place of Next.
	attend(l listener)
}

func (w *sharedWatch) attend(l listener) {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	w.attended, w.member.listener, w.wake = true, l, nil
	if w.member.err != nil || w.member.beat {
		w.signal()
	}
}

// serve hands over what waits in the queue, and the end.
func (w *sharedWatch) serve() {
	for {
		frame, ok, err := w.waiting()
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

// waiting takes what is to be handed over; with nothing left, or at the end, no more
// is said to be.
func (w *sharedWatch) waiting() (frame []msg.Notification, ok bool, err error) {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	m := w.member
	switch {
	case m.err != nil:
		return nil, false, m.err
	case !m.beat:
		m.busy = false
		m.queue.drop() // it is needed seldom
		return nil, false, nil
	}
	m.beat = false
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
	s.settle()
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

// signal never blocks: it is called by whoever holds the lock.
func (w *sharedWatch) signal() {
	if w.attended {
		if !w.member.busy {
			w.member.busy = true
			go w.serve()
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
	return w.member.home != nil, w.member.err
}

// Next returns what was notified since it was called last, merged; nothing means
// a heartbeat, of which no more than one a second is passed on.
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
		w.signal() // wake whoever else waits
		return nil, false, m.err
	}
	if !m.beat {
		return nil, false, nil
	}
	m.beat = false
	return m.queue.take(), true, nil
}

func (w *sharedWatch) leave(cause error) {
	w.shared.apply(func(h *hub, now time.Time) { h.leave(now, w.member, cause) })
}

// Close gives the place up.
func (w *sharedWatch) Close() error {
	w.leave(errUnwatched)
	return nil
}

// Node returns the address of the node that is watched. It stays the same when
// the watch moves to another connection.
func (w *sharedWatch) Node() string {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	return w.member.node
}

// watchAlone opens a watch that is not shared. What its subscriber hears of
// still makes the pages read before it worthless.
func (s *Shared) watchAlone(ctx context.Context, follower bool, req *msg.WatchRequest) (Watch, error) {
	w, err := s.src.Watch(ctx, follower, req)
	s.forget()
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
		w.shared.forget()
		return frame, err
	}
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	for i := range frame {
		w.shared.hub.pages.heard(frame[i].Key)
	}
	return frame, nil
}

// forget makes all pages worthless for who asks from now on.
func (s *Shared) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.pages.reset()
}
