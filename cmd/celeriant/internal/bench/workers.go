package bench

import (
	"context"
	"sync"
)

// runWorkers runs n workers and returns the first failure, which ends the others.
func runWorkers(ctx context.Context, n int, work func(ctx context.Context, worker int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for i := range n {
		workers.Go(func() {
			if err := work(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
