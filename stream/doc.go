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
// # Where it reads, where it begins, what it follows
//
// Watches and reads are at the leader, or with Options.Followers at a follower
// that keeps up; whatever rests on absence is the word of a node that leads. A
// node that was deposed without a sign is left within Options.Probe. Where the
// credentials hide who leads, the node that shows at least what every other one has
// shown speaks for the leader; as long as any node is away there is no such word.
// Options.Start says where aggregates without a cursor begin: at their beginning, where
// they are now, or, with [LiveOnly], wherever they are when something happens.
// Options.Cursors are cursors that the caller has kept. Options.Range
// restricts a subscription to a share of its scope, and [Subscription.Add] and
// [Subscription.Remove] change the scope while it is followed. [Share] lets
// several subscriptions stand on the same connections and reads.
//
// # How it works
//
// The engine (package stream/internal/engine) makes every decision and waits for
// nothing: a watch, an answered request or the consumer gives it an input under
// a lock. Around it run one goroutine for each watch, and one for each request
// under way. The node drops a subscriber that does not keep up, so notifications
// are folded into a set of dirty aggregates at once and read when there is room.
// Options.Buffer bounds what is read ahead.
package stream
