package pool

import (
	"context"
	"fmt"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// lanes let the commands of one aggregate pass one by one: side by side they
// would only conflict. There is a lane for each aggregate at work, no more.
type lanes struct {
	mu     sync.Mutex
	queues map[msg.Key]*lane
}

// lane is a lock that a context can give up.
type lane struct {
	turn  chan struct{} // holds the turn while nobody has it
	users int
}

// enter waits for the aggregate's turn; the result gives it back.
func (l *lanes) enter(ctx context.Context, key msg.Key) (leave func(), err error) {
	q := l.join(key)
	select {
	case <-q.turn:
		return func() { q.turn <- struct{}{}; l.part(key, q) }, nil
	case <-ctx.Done():
		l.part(key, q)
		return nil, fmt.Errorf("waiting for another command on the aggregate: %w", ended(ctx))
	}
}

func (l *lanes) join(key msg.Key) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queues[key]
	if q == nil {
		if l.queues == nil {
			l.queues = make(map[msg.Key]*lane)
		}
		q = &lane{turn: make(chan struct{}, 1)}
		q.turn <- struct{}{}
		l.queues[key] = q
	}
	q.users++
	return q
}

func (l *lanes) part(key msg.Key, q *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(l.queues, key)
	}
}
