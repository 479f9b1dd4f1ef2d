//go:build redis

package redisstore_test

import (
	"context"
	"errors"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/redis/go-redis/v9"
)

// counted is a store whose effects are a field of a read model.
type counted struct {
	*redisstore.Store
	client redis.UniversalClient
	name   string // of the subscription, once it is known
}

func newCounted(client redis.UniversalClient) func(context.Context, checkpoint.Store) (checkpointtest.Transactor, error) {
	return func(_ context.Context, s checkpoint.Store) (checkpointtest.Transactor, error) {
		return &counted{s.(*redisstore.Store), client, ""}, nil
	}
}

func (c *counted) Transact(ctx context.Context, o checkpoint.Owner, entries []checkpoint.Entry, apply func(context.Context, func() error) error) error {
	c.name = o.Name
	return c.Store.Transact(ctx, o, entries, func(ctx context.Context, t *tx) error {
		return apply(ctx, func() error { return count(ctx, t) })
	})
}

func (c *counted) Effects(ctx context.Context) (int, error) {
	n, err := c.client.HGet(ctx, c.Key(c.name, "counts"), "events").Int()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return n, err
}
