// Package stream turns the watch of a Celeriant store, which only says that an
// aggregate changed, into a resumable subscription: every committed batch of a
// scope, in order per aggregate, without gaps and without duplicates, across
// lost connections and restarts.
//
// [Open] starts a [Subscription] on a [Scope]. [Subscription.Next] hands out
// slices of [Change]s; once they are handled, [Subscription.Commit] stores
// their cursors. [Subscription.Run] and [Subscription.All] do both. A
// subscription opened again under the same name, by this process or another
// one, continues from the stored cursors.
//
// # What it promises
//
// Per aggregate and life the versions delivered strictly increase, every batch
// is whole, nothing is left out that was not announced by Truncated, and
// nothing comes twice within a run. Deleted and Reset end a life: what was
// built of the aggregate is void. CaughtUp comes when everything committed
// before the watches were acknowledged has been delivered. Between aggregates
// there is no order.
//
// Lost connections, unreachable nodes and failing look-ups are states, seen
// through [Subscription.State] and Options.OnState, and are retried for ever
// with backoff. A subscription ends with exactly one cause: it was closed, its
// consumer failed it, another owner took its checkpoint, or the node refused it
// for good.
//
// # How it works
//
// One goroutine owns the engine (package stream/internal/engine), which makes
// every decision; around it run one goroutine for each watch, and one for each
// request under way. The engine never waits for the consumer: the node drops a
// subscriber that does not keep up, so notifications are folded into a set of
// dirty aggregates at once and read when there is room. Options.Buffer bounds
// what is read ahead.
package stream
