package journal

import (
	"context"
	"time"
)

// Notify implements checkpoint.Notifier: changes of this store signal at once,
// those of others when the log's watch tells of them. A watch that broke is opened
// again after a second, with a signal to all who wait.
func (s *Store) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	if _, err := s.begin(ctx, "watching", name); err != nil {
		return nil, err
	}
	defer s.done()
	signals := s.hub.Watch(ctx, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.watching {
		s.watching = true
		s.background.Go(s.watch)
	}
	return signals, nil
}

// rewatch is the time between two watches.
const rewatch = time.Second

func (s *Store) watch() {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-wait.C:
		}
		_ = s.log.Watch(s.ctx, s.signalAll, s.hub.Signal)
		wait.Reset(rewatch)
	}
}

// signalAll signals what may have been missed.
func (s *Store) signalAll() {
	for _, name := range s.hub.Watched() {
		s.hub.Signal(name)
	}
}
