package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Notify implements checkpoint.Notifier: changes of this store signal at once, those
// of others by a subscription to a channel. When that is lost, all who wait are
// signalled once it is there again.
func (s *Store) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	var signals <-chan struct{}
	err := s.call(ctx, "watching", name, func() error {
		signals = s.hub.Watch(ctx, name)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.watching {
			s.watching = true
			s.background.Go(s.listen)
		}
		return nil
	})
	return signals, err
}

// relisten is the time between two tries to listen.
const relisten = 100 * time.Millisecond

func (s *Store) listen() {
	sub := s.client.Subscribe(s.ctx, s.channel())
	defer sub.Close()
	stop := context.AfterFunc(s.ctx, func() { _ = sub.Close() }) // wakes Receive
	defer stop()
	for s.ctx.Err() == nil {
		message, err := sub.Receive(s.ctx)
		if err != nil {
			select {
			case <-s.ctx.Done():
			case <-time.After(relisten):
			}
			continue
		}
		s.heard(message)
	}
}

// heard signals what a message tells of. A confirmation of the subscription tells that
// anything may have been missed before.
func (s *Store) heard(message any) {
	switch m := message.(type) {
	case *redis.Message:
		s.hub.Signal(m.Payload)
	case *redis.Subscription:
		for _, name := range s.hub.Watched() {
			s.hub.Signal(name)
		}
	}
}
