package conn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
)

// ErrMemory: the memory for large answers stayed taken. Documented in package pool.
var ErrMemory = errors.New("no memory for the answer")

// Memory bounds the bytes of large answers that are being received at the same time,
// whatever the number of connections. A Memory is safe for concurrent use.
type Memory struct {
	size  int64
	taken *semaphore.Weighted
}

// NewMemory returns memory of so many bytes.
func NewMemory(bytes int64) *Memory {
	return &Memory{size: bytes, taken: semaphore.NewWeighted(bytes)}
}

// take waits until there is room for an answer, first come first served, for at most so
// long. Answers of up to trustedLength are not counted: each connection has one at most.
func (m *Memory) take(ctx context.Context, bytes int64, longest time.Duration) (release func(), err error) {
	if m == nil || bytes <= trustedLength {
		return func() {}, nil
	}
	bytes = min(bytes, m.size)
	if !m.taken.TryAcquire(bytes) {
		bounded, cancel := context.WithTimeout(ctx, longest)
		defer cancel()
		switch {
		case m.taken.Acquire(bounded, bytes) == nil:
		case ctx.Err() != nil:
			return nil, Ended(ctx)
		default:
			return nil, fmt.Errorf("%w of %d bytes: others have had the %d for %v", ErrMemory, bytes, m.size, longest)
		}
	}
	return func() { m.taken.Release(bytes) }, nil
}
