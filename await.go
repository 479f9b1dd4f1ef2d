package celeriant

import (
	"context"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Await returns nil once the consumer of a name, whose positions are in store, has handled
// the version of an aggregate, in this process or in another one, and its effect is
// committed: call it behind a write, with the version that the write returned, and the
// next read of the read model shows it. Give ctx a deadline: when it ends first, Await
// returns an [*await.LateError] that says why. See package await for tokens and for stale
// answers.
func (c *Client) Await(ctx context.Context, store checkpoint.Store, name string, key msg.Key, version uint64) error {
	return await.New(store, c.pool.AtLeader(), await.WithHooks(c.awaits)).Await(ctx, name, key, version)
}
