package celeriant

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// ConnectOption shapes a Client.
type ConnectOption func(*connectOptions)

type connectOptions struct {
	pool   pool.Options
	stream stream.Hooks
	await  await.Hooks
	budget int64
}

// WithSeedAddresses names other nodes of the same cluster, in the order they are
// tried. With more than one node known the client finds out who leads, follows
// the leader's changes and waits through an election, see [WithFailoverBudget].
func WithSeedAddresses(addresses ...string) ConnectOption {
	return func(o *connectOptions) { o.pool.SeedAddresses = addresses }
}

// WithFailoverBudget is how long a request keeps looking for a node that takes
// it while there is no leader; default 10 s.
func WithFailoverBudget(d time.Duration) ConnectOption {
	return func(o *connectOptions) { o.pool.FailoverBudget = d }
}

// WithTLS encrypts connections with TLS 1.3; default plain text.
func WithTLS(t *pool.TLS) ConnectOption {
	return func(o *connectOptions) { o.pool.TLS = t }
}

// WithIdentity shows credentials to the node on every connection: an API key, an
// RSA key pair, or both. Default none.
func WithIdentity(identity pool.Identity) ConnectOption {
	return func(o *connectOptions) { o.pool.Identity = identity }
}

// WithMaxConnections bounds the connections for requests; default 10. Watches
// have connections of their own. Callers beyond it wait in line.
func WithMaxConnections(n int) ConnectOption {
	return func(o *connectOptions) { o.pool.MaxConnections = n }
}

// WithConnectTimeout bounds opening one connection; default 2 s.
func WithConnectTimeout(d time.Duration) ConnectOption {
	return func(o *connectOptions) { o.pool.ConnectTimeout = d }
}

// WithRequestTimeout bounds one exchange on an open connection; default 2 s.
// For one call use its context.
func WithRequestTimeout(d time.Duration) ConnectOption {
	return func(o *connectOptions) { o.pool.RequestTimeout = d }
}

// WithIdleTimeout is how long an unused connection is kept; default 25 s. Stay
// well below the node's own limit, by default 30 s.
func WithIdleTimeout(d time.Duration) ConnectOption {
	return func(o *connectOptions) { o.pool.IdleTimeout = d }
}

// WithProtocolVersion chooses the body encoding, 2 (default, the faster one) or
// 3 (MessagePack). A node answers in the version it was asked in.
func WithProtocolVersion(version int) ConnectOption {
	return func(o *connectOptions) { o.pool.ProtocolVersion = version }
}

// WithoutCompression leaves compression off in both directions. Choose it where
// the network is faster than zstd.
func WithoutCompression() ConnectOption {
	return func(o *connectOptions) { o.pool.DisableCompression = true }
}

// WithDialer opens connections; default a net.Dialer. dial must honour its
// context and be safe for concurrent use.
func WithDialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) ConnectOption {
	return func(o *connectOptions) { o.pool.Dial = dial }
}

// WithLogger receives what happens to connections and subscriptions; default
// silence.
func WithLogger(l *slog.Logger) ConnectOption {
	return func(o *connectOptions) { o.pool.Logger = l }
}

// Hooks are called when something happens to the client's requests and connections, to
// its subscriptions, and to those who wait by [Client.Await], for metrics and traces.
// Hooks that are nil cost nothing.
type Hooks struct {
	Pool   pool.Hooks
	Stream stream.Hooks
	Await  await.Hooks
}

// WithHooks calls hooks; default none. Hooks.Stream is called for every
// subscription of the client, from several goroutines at once.
func WithHooks(h Hooks) ConnectOption {
	return func(o *connectOptions) { o.pool.Hooks, o.stream, o.await = h.Pool, h.Stream, h.Await }
}

// WithPoolOptions sets options of the pool that have no function of their own here,
// see [pool.Options]: edit changes what the options before it have set, and those
// behind it may change it again.
//
//	celeriant.WithPoolOptions(func(o *pool.Options) { o.MapAddress = throughTheProxy })
func WithPoolOptions(edit func(*pool.Options)) ConnectOption {
	return func(o *connectOptions) { edit(&o.pool) }
}

// WithMemoryBudget bounds, in bytes, the sum of the buffers of the client's open
// subscriptions, see [WithBuffer]. Opening one beyond it fails with a
// [*BudgetError]. Subscriptions without WithBuffer take 16 MiB, or the whole
// budget if that is less. Default 0: no bound but each subscription's own.
func WithMemoryBudget(bytes int64) ConnectOption {
	return func(o *connectOptions) { o.budget = bytes }
}

// WatchOption shapes the subscriptions of an Observable.
type WatchOption func(*watchOptions)

type watchOptions struct {
	stream stream.Options
	onEnd  func(error)
}

// WithName names the subscription in its checkpoint store; default the text of
// the scope. Of two consumers of one name and store the later one goes on and
// the earlier one ends with checkpoint.ErrFenced, unless they share it, see
// [WithLeases].
func WithName(name string) WatchOption {
	return func(o *watchOptions) { o.stream.Name = name }
}

// WithCheckpoints keeps positions in store, so that the next consumer resumes.
// Default: none are kept, and each consumer starts from the beginning. The
// caller closes the store, after the client.
func WithCheckpoints(store checkpoint.Store) WatchOption {
	return func(o *watchOptions) { o.stream.Store = store }
}

// WithAdoptedScope continues a checkpoint that was made for another scope,
// which is refused otherwise. Aggregates that are new in the scope start from
// the beginning.
func WithAdoptedScope() WatchOption {
	return func(o *watchOptions) { o.stream.AdoptScope = true }
}

// WithStart says where aggregates without a position begin; default
// stream.FromBeginning. With [stream.FromNow] nothing that was there before the
// first run is delivered, with [stream.LiveOnly] nothing that was there before each
// run, which begins at once and keeps no positions.
func WithStart(start stream.Start) WatchOption {
	return func(o *watchOptions) { o.stream.Start = start }
}

// WithCursors begins aggregates at positions that the caller has kept: the Cursor of the
// last change that it handled, in text form if it likes. A position that is stored
// goes before one that is given. Each aggregate must be of the scope; see
// [stream.Options].
func WithCursors(cursors map[msg.Key]checkpoint.Cursor) WatchOption {
	return func(o *watchOptions) { o.stream.Cursors = cursors }
}

// WithFollowers watches and reads at a follower, while one can be reached and
// keeps up; default at the leader.
func WithFollowers() WatchOption {
	return func(o *watchOptions) { o.stream.Followers = true }
}

// WithMaxLag is how long a follower may not show something the leader does
// before the leader is watched in its place; default 5 s.
func WithMaxLag(d time.Duration) WatchOption {
	return func(o *watchOptions) { o.stream.MaxLag = d }
}

// WithProbe is how often the nodes watched are asked whether they lead, and
// followers are compared with the leader; default 2 s, negative never.
func WithProbe(d time.Duration) WatchOption {
	return func(o *watchOptions) { o.stream.Probe = d }
}

// WithHashRange restricts a subscription to a share of the scope's aggregates,
// see [stream.HashShare]. Give each share a name of its own. [WithLeases] divides the
// work without being told how.
func WithHashRange(r stream.HashRange) WatchOption {
	return func(o *watchOptions) { o.stream.Range = r }
}

// WithLatency lets the node collect changes for so long before it notifies;
// default 0, at once. The reference server allows at most 2 s.
func WithLatency(d time.Duration) WatchOption {
	return func(o *watchOptions) { o.stream.Latency = d }
}

// WithBuffer bounds the payload bytes read ahead of the consumer; default
// 16 MiB. A single larger batch is still delivered, alone.
func WithBuffer(bytes int64) WatchOption {
	return func(o *watchOptions) { o.stream.Buffer = bytes }
}

// WithReaders bounds the reads in flight; default 8, at most one per aggregate.
func WithReaders(n int) WatchOption {
	return func(o *watchOptions) { o.stream.Readers = n }
}

// WithContinuation says what a recreation that goes on counting delivers;
// default stream.Replay, everything again, as read models need it.
func WithContinuation(c stream.Continuation) WatchOption {
	return func(o *watchOptions) { o.stream.Continuation = c }
}

// WithLiveness is how long a watch may be silent before it counts as lost;
// default 14 s, a little less than three of the node's heartbeats.
func WithLiveness(d time.Duration) WatchOption {
	return func(o *watchOptions) { o.stream.Liveness = d }
}

// WithReconcile is how often everything is compared with the checkpoint although
// nothing seems lost; default 10 minutes, negative never.
func WithReconcile(d time.Duration) WatchOption {
	return func(o *watchOptions) { o.stream.Reconcile = d }
}

// WithStreamOptions lets f set every option of the subscription, also those that have
// no option of their own here. f is called once, in the order of the options.
func WithStreamOptions(f func(*stream.Options)) WatchOption {
	return func(o *watchOptions) { f(&o.stream) }
}

// WithStreamHooks calls hooks for this observable's subscriptions, behind those that
// [WithHooks] and an earlier WithStreamHooks have set; default none. Give each name
// hooks of its own, so that metrics tell subscriptions apart.
func WithStreamHooks(h stream.Hooks) WatchOption {
	return func(o *watchOptions) { o.stream.Hooks = o.stream.Hooks.And(h) }
}

// WithOnState calls f with each new state of a subscription, in order. f must
// not block.
func WithOnState(f func(State)) WatchOption {
	return func(o *watchOptions) { o.stream.OnState = f }
}

// WithOnEnd calls f once for each observer of the rxgo view, with the cause its
// subscription ended for: the context's cause after a cancel, stream.ErrClosed
// after Client.Close. rxgo itself makes a completion of both. f is called
// before the observer completes, from the observer's own goroutine.
func WithOnEnd(f func(cause error)) WatchOption {
	return func(o *watchOptions) { o.onEnd = f }
}

// WriteOption is a condition of a write.
type WriteOption func(*pool.WriteOptions)

// WithExpectedVersion demands that the aggregate is at this version, 0 for one
// that was never seen; otherwise the write fails with msg.ErrConflict.
func WithExpectedVersion(version uint64) WriteOption {
	return func(o *pool.WriteOptions) { o.ExpectedVersion = msg.Some(version) }
}

// WithIdempotency refuses events whose ClientSeq does not exceed the highest one
// stored for this aggregate and client, with msg.ErrDuplicate. Each must be at least
// 1, otherwise the write is not sent (pool.ErrInvalid). A write of unknown outcome can
// then be sent again; after the leader was lost only together with
// [WithExpectedVersion], or by package pool/writer, which sees to all of that.
func WithIdempotency() WriteOption {
	return func(o *pool.WriteOptions) { o.EnforceIdempotency = true }
}

// WithoutCreate refuses an aggregate that was never seen, with msg.ErrNotFound.
func WithoutCreate() WriteOption {
	return func(o *pool.WriteOptions) { o.DenyCreate = true }
}

// WithUser stores a user with the batch.
func WithUser(user msg.ID) WriteOption {
	return func(o *pool.WriteOptions) { o.UserID = msg.Some(user) }
}
