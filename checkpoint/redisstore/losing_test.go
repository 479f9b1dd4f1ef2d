//go:build redis

package redisstore_test

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// losing is a connection whose next script ends with the caller's context: applied
// before that, or kept to be delivered later.
type losing struct {
	armed   atomic.Bool
	applied bool
	cancel  context.CancelFunc
	kept    []any
}

func (l *losing) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return next(ctx, network, address)
	}
}

func (l *losing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *losing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		// The second script behind the handler is the one that changes; the first looks.
		if !l.armed.Load() || cmd.Name() != "evalsha" || len(cmd.Args()) < 20 {
			return next(ctx, cmd)
		}
		if l.applied {
			if err := next(ctx, cmd); err != nil {
				return err
			}
		}
		l.kept = cmd.Args()
		l.cancel()
		cmd.SetErr(context.Canceled)
		return context.Canceled
	}
}

// repeating sends each script twice, as a client does that got no answer to the first.
type repeating struct{ losing }

func (r *repeating) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if r.armed.Load() && cmd.Name() == "evalsha" {
			if err := next(ctx, cmd); err != nil {
				return err
			}
		}
		return next(ctx, cmd)
	}
}

// deliver sends what was kept.
func (l *losing) deliver(ctx context.Context, client *redis.Client) error {
	return client.Do(ctx, l.kept...).Err()
}
