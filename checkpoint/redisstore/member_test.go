package redisstore_test

import (
	"context"
	"fmt"
	"os"

	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
	"github.com/redis/go-redis/v9"
)

// runMember counts each batch, in the server at the address that the settings are.
func runMember(ctx context.Context, m storefaults.Member) error {
	client := redis.NewClient(&redis.Options{Addr: m.Settings})
	store, err := redisstore.Open(ctx, client, redisstore.Options{})
	if err != nil {
		return err
	}
	ledger, err := m.Source(store)
	if err != nil {
		return err
	}
	return operators.ProjectIn(ctx, ledger, store, func(ctx context.Context, t *redisstore.Tx, changes []stream.Change) error {
		for _, b := range storefaults.Batches(changes...) {
			if _, err := t.HIncrBy(ctx, "applied", fmt.Sprintf("%d/%d", b.Aggregate, b.Version), 1); err != nil {
				return err
			}
			t.SAdd("processes", fmt.Sprint(os.Getpid()))
		}
		return nil
	})
}
