package writer

import (
	"context"
	"fmt"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// keyLocks is one lock for each aggregate: commands on the same aggregate side by
// side would only conflict. Locks exist only while somebody holds them or waits.
type keyLocks struct {
	mu    sync.Mutex
	locks map[msg.Key]*keyLock
}

type keyLock struct {
	free  chan struct{} // holds a token while nobody holds the lock
	users int           // holders and waiters, guarded by keyLocks.mu
}

// lock waits for the aggregate's lock until ctx ends; unlock gives it back.
func (l *keyLocks) lock(ctx context.Context, key msg.Key) (unlock func(), err error) {
	k := l.join(key)
	select {
	case <-k.free:
		return func() { k.free <- struct{}{}; l.leave(key, k) }, nil
	case <-ctx.Done():
		l.leave(key, k)
		return nil, fmt.Errorf("waiting for another command on the aggregate: %w", contextError(ctx))
	}
}

func (l *keyLocks) join(key msg.Key) *keyLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.locks[key]
	if k == nil {
		if l.locks == nil {
			l.locks = make(map[msg.Key]*keyLock)
		}
		k = &keyLock{free: make(chan struct{}, 1)}
		k.free <- struct{}{}
		l.locks[key] = k
	}
	k.users++
	return k
}

func (l *keyLocks) leave(key msg.Key, k *keyLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.locks, key)
	}
}
