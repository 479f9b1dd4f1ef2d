package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
	"github.com/cenkalti/backoff/v4"
)

// ErrClosed is the terminal cause of a subscription that its owner closed.
var ErrClosed = errors.New("stream: subscription closed")

// ErrUncommitted is the cause of a [State] in which nothing is read until the consumer
// commits, see Options.MaxUncommitted.
var ErrUncommitted = engine.ErrUncommitted

// Defaults of Options.
const (
	DefaultBuffer  = 16 << 20
	DefaultReaders = 8
	// DefaultMaxUncommitted is a count of aggregates.
	DefaultMaxUncommitted = 32 << 10
	DefaultLiveness       = 14 * time.Second
	DefaultReconcile      = 10 * time.Minute
	DefaultMaxLag         = 5 * time.Second
	DefaultProbe          = 2 * time.Second
)

const (
	// maxLanes bounds the aggregates that wait for a read: some 20 MiB. The
	// notifications of more are dropped, and made good by another list.
	maxLanes = 32 << 10
	// maxShards bounds the number of shards that a node may claim.
	maxShards = 1024
	// recent bounds the cursors of aggregates at rest that are held: some 120 KiB.
	recent = 1024
	// late is when the leader's newest changes are looked through again after a
	// list: on a pair of the reference server, reads and lists can lag behind
	// notifications by half a second.
	late = 3 * time.Second
	// healthy is how long a connection must last for its backoff to start anew.
	healthy = 10 * time.Second
)

// Subscription is a running subscription. Next is for one goroutine at a time;
// everything else is safe for concurrent use.
type Subscription struct {
	opts      Options
	made      Scope // whose start from now was made; guarded by step
	src       Source
	owner     checkpoint.Owner
	member    *membership // nil for the owner of the whole
	logger    *slog.Logger
	storeType string // for hooks

	ctx    context.Context
	cancel context.CancelCauseFunc
	work   sync.WaitGroup
	idle   chan struct{} // closed when nothing runs but observers
	done   chan struct{}

	// step is held by whoever has an input for the engine, and guards what follows.
	step     sync.Mutex
	engine   *engine.Engine
	executor *executor
	timer    *time.Timer
	armed    time.Time // when the timer fires; zero when it is not set
	over     bool
	endedAt  time.Time
	stored   time.Time // when cursors were stored last
	parked   []msg.Key // by the consumer
	laggard  laggard

	box   mailbox
	taken int64 // bytes of the slice the consumer holds; its goroutine's own
	gate  *gate // nil for a subscription that is no rebuild, or a current one

	rescoping sync.Mutex // held by whoever changes the scope

	handlers  Handlers
	requested requested
	failed    atomic.Bool // no further handler begins
	health    health
	callbacks *callbackQueue
	calling   callers // of hooks

	mu    sync.Mutex
	scope Scope
	left  Scope // members that were removed
	state State
	ended error

	takingOver takingOver
}

// input is something that happened, applied to the engine under the lock.
type input func(e *engine.Engine, now time.Time)

// Open starts a subscription. Open acquires the checkpoint first, so a scope
// that is not the stored one, a damaged store or a bad name is reported here;
// an unreachable node is not an error but a state. ctx bounds the acquiring
// only. The subscription runs until [Subscription.Close].
func Open(ctx context.Context, src Source, scope Scope, opts Options) (*Subscription, error) {
	if err := scope.check(); err != nil {
		return nil, err
	}
	opts, err := opts.withDefaults(scope)
	if err != nil {
		return nil, err
	}
	s := &Subscription{
		scope:     scope,
		opts:      opts,
		src:       src,
		logger:    opts.Logger.With("subscription", opts.Name),
		storeType: strings.TrimPrefix(fmt.Sprintf("%T", opts.Store), "*"),
		idle:      make(chan struct{}),
		done:      make(chan struct{}),
		state:     State{Phase: Connecting, Since: time.Now()},
	}
	if err := s.claim(ctx); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.callbacks = newCallbackQueue(s.logger)
	s.requested.tokens = make(chan struct{}, 1)
	s.box.init()
	s.executor = newExecutor(s)
	s.begin()
	if err := s.join(); err != nil {
		s.end(err)
		s.member = nil
		s.windUp()
		return nil, err
	}
	if s.gate != nil {
		s.executor.spawn(s.gate.run)
	}
	context.AfterFunc(s.ctx, s.windUp) // a goroutine that waits for the end would cost its stack
	return s, nil
}

// acquire claims the checkpoint, or finds how it is divided.
func (s *Subscription) acquire(ctx context.Context) (err error) {
	if s.opts.Ownership == Leased {
		return s.declare(ctx)
	}
	s.owner, err = s.opts.Store.Acquire(ctx, checkpoint.Claim{Name: s.opts.Name, Scope: s.opts.text(s.scope), Adopt: s.opts.AdoptScope})
	if err != nil {
		return fmt.Errorf("stream: acquiring the checkpoint of %q: %w", s.opts.Name, err)
	}
	if err = s.seed(ctx); err != nil {
		return err
	}
	s.made, err = s.opts.started(ctx, s.scope)
	return err
}

// windUp is what follows the end: nothing is fed any more, observers are told, and what
// is left ends once nothing works any more.
func (s *Subscription) windUp() {
	s.step.Lock()
	s.stop(time.Now())
	s.executor.leaveAll()
	s.step.Unlock()
	s.announce(State{Phase: Closed, Cause: s.Err()})
	s.work.Wait()
	s.executor.windUp(s.ctx)
	s.release()
	s.leaveSignals()
	close(s.idle)
	<-s.callbacks.done
	close(s.done)
}

// text is what the checkpoint remembers of what is subscribed.
func (o Options) text(scope Scope) string {
	if o.Range.Whole() {
		return scope.String()
	}
	return scope.String() + ", " + o.Range.String()
}

// defaultName is the text of what is subscribed, or, of one that is too long for a
// name, its count and hash.
func (o Options) defaultName(scope Scope) string {
	name := o.text(scope)
	if len(name) <= checkpoint.MaxName {
		return name
	}
	name = scope.digest()
	if !o.Range.Whole() {
		name += ", " + o.Range.String()
	}
	return name
}

func (o Options) withDefaults(scope Scope) (Options, error) {
	if o.Name == "" {
		o.Name = o.defaultName(scope)
	}
	switch {
	case o.Store == nil && o.Ownership == Leased && o.Start != LiveOnly:
		return o, errors.New("stream: option Ownership is Leased without a Store: members find each other in the store that they share")
	case o.Store == nil:
		o.Store = checkpoint.NewMemory()
	case o.Start == LiveOnly:
		return o, fmt.Errorf("stream: option Start is LiveOnly, which keeps no position, and option Store is a %T: want one of them", o.Store)
	}
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Readers == 0 {
		o.Readers = DefaultReaders
	}
	switch {
	case o.MaxUncommitted == 0:
		o.MaxUncommitted = DefaultMaxUncommitted
	case o.MaxUncommitted < 0:
		o.MaxUncommitted = 0
	}
	if o.Liveness == 0 {
		o.Liveness = DefaultLiveness
	}
	switch {
	case o.Reconcile == 0:
		o.Reconcile = DefaultReconcile
	case o.Reconcile < 0:
		o.Reconcile = 0
	}
	if o.MaxLag == 0 {
		o.MaxLag = DefaultMaxLag
	}
	switch {
	case o.Probe == 0:
		o.Probe = DefaultProbe
	case o.Probe < 0:
		o.Probe = 0
	}
	if o.LeaseTTL == 0 {
		o.LeaseTTL = lease.DefaultTTL
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Buffer < 0:
		return o, fmt.Errorf("stream: option Buffer is %d bytes: want a positive number", o.Buffer)
	case o.Readers < 0 || o.Readers > 1024:
		return o, fmt.Errorf("stream: option Readers is %d: want 1 to 1024", o.Readers)
	case o.Latency < 0:
		return o, fmt.Errorf("stream: option Latency is %v: want 0 or a positive time", o.Latency)
	case o.Range.First > o.Range.Last:
		return o, fmt.Errorf("stream: option Range is %v: the first hash exceeds the last", o.Range)
	case o.Start > LiveOnly:
		return o, fmt.Errorf("stream: option Start is %d: want FromBeginning, FromNow or LiveOnly", o.Start)
	case o.Continuation > ContinueOnly:
		return o, fmt.Errorf("stream: option Continuation is %d: want Replay or ContinueOnly", o.Continuation)
	}
	if err := o.checkIntervals(); err != nil {
		return o, err
	}
	if err := o.checkCursors(scope); err != nil {
		return o, err
	}
	return o, o.checkLeases()
}

// Owner returns the right under which this subscription saves its cursors. The owner
// is zero for one with leases, where each change names its own, see [Change].
func (s *Subscription) Owner() checkpoint.Owner { return s.owner }

// Store returns the store of its cursors.
func (s *Subscription) Store() checkpoint.Store { return s.opts.Store }

// Name returns the name its cursors are stored under.
func (s *Subscription) Name() string { return s.opts.Name }

// HandlerVersion returns what Options declared.
func (s *Subscription) HandlerVersion() string { return s.opts.HandlerVersion }

// Scope returns what the subscription follows at present.
func (s *Subscription) Scope() Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scope
}

// State returns the present state.
func (s *Subscription) State() State {
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	return state.with(s.health.retrying())
}

// Stats returns a snapshot of the work done and waiting. Its cost is the same however
// many aggregates and shards there are.
func (s *Subscription) Stats() Stats {
	s.step.Lock()
	stats := s.engine.Stats(s.now())
	unhandled, oldest := s.engine.Unhandled()
	stored, parked := s.stored, s.parkedHere()
	var partitions, ofPartitions int
	if s.member != nil {
		partitions, ofPartitions = len(s.member.claims), int(s.member.definition.Count())
	}
	s.step.Unlock()
	return Stats{
		State:         s.State(),
		Shards:        stats.Shards,
		Subscribed:    stats.Subscribed,
		Dirty:         stats.Dirty,
		Parked:        parked,
		Unreadable:    stats.Parked,
		Buffered:      stats.Buffered,
		Buffer:        s.opts.Buffer,
		Reconnects:    stats.Reconnects,
		Notifications: stats.Notifications,
		Reads:         stats.Reads,
		Lists:         stats.Lists,
		Batches:       stats.Batches,
		Untrusted:     stats.Untrusted,
		Moves:         stats.Moves,
		Lag:           stats.Lag,
		Behind:        stats.Behind,
		Listing:       stats.Listing,
		Listed:        stats.Listed,
		Waiting:       s.box.waiting(),
		Unhandled:     unhandled,
		OldestPending: oldest,
		LastCommit:    stored,
		Partitions:    partitions,
		OfPartitions:  ofPartitions,
		Retrying:      s.health.retrying(),
		Cause:         s.Err(),
	}
}

// Done is closed when the subscription has ended and nothing of it runs.
func (s *Subscription) Done() <-chan struct{} { return s.done }

// Ended is closed when the terminal cause is set, before Done: nothing more is to be
// begun.
func (s *Subscription) Ended() <-chan struct{} { return s.ctx.Done() }

// Err returns the terminal cause: ErrClosed, the cause given to Fail, the
// reason the node or the checkpoint store refused for good; nil while the
// subscription runs.
func (s *Subscription) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Fail ends the subscription with a cause of the consumer's own. Batches read ahead
// are dropped, and no further handler begins. The first cause wins; later ones
// are ignored.
func (s *Subscription) Fail(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	s.setCause(cause)
	s.failed.Store(true)
	s.box.discard()
	s.end(cause)
}

// Handlers are the loops that handle this subscription's changes, for those who write
// one: see [Handlers].
func (s *Subscription) Handlers() *Handlers { return &s.handlers }

// ErrInHook refuses to wait for the end of a subscription inside one of its hooks,
// which would wait for itself. The subscription ends all the same.
var ErrInHook = errors.New("stream: Close inside a hook of the same subscription does not wait for its end")

// Close ends the subscription and waits until its handlers have returned, what was
// handled is stored, and nothing of it runs any more, or until ctx ends; the ending
// itself does not depend on ctx. Close returns ctx's error in that case and nil
// otherwise. Closing again waits again.
//
// Inside a handler, in the body of a loop or in OnState Close does not wait for that
// callback, but for all else; what was handled before is stored when it returns.
// Inside a hook that is called by requests (Read, List, Commit) it returns
// [ErrInHook] at once.
func (s *Subscription) Close(ctx context.Context) error {
	s.Fail(ErrClosed)
	if s.calling.inside() {
		return ErrInHook
	}
	done := s.done
	if s.callbacks.inside() {
		done = s.idle
	}
	err := s.handlers.Wait(ctx)
	if err == nil {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return fmt.Errorf("stream: closing %q: %w", s.opts.Name, err)
}

// Inside reports whether the calling goroutine is inside a callback of this
// subscription: a handler, OnState, a hook. To wait there for its end is to wait for
// oneself.
func (s *Subscription) Inside() bool {
	return s.callbacks.inside() || s.calling.inside() || s.handlers.Inside()
}

// setCause sets the terminal cause; false if there is one.
func (s *Subscription) setCause(cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return false
	}
	s.ended = cause
	return true
}

// end sets the terminal cause, unless there is one, and stops everything.
func (s *Subscription) end(cause error) {
	s.setCause(cause)
	cause = s.Err()
	s.box.close(cause)
	s.cancel(cause)
}

// newBackoff paces reconnects and retries: 50 ms growing by half to 5 s, each
// varied by half.
func newBackoff() engine.Backoff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}

// newReconnect paces what is asked once for all shards, so that it may ask sooner: the
// wait is 30 ms and 1 % of the time since the first failure, up to 1 s, varied by half.
// So a node that comes back is found at once, compared with how long it was away.
func newReconnect() engine.Backoff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(30*time.Millisecond),
		backoff.WithMultiplier(1.01),
		backoff.WithMaxInterval(time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}
