package operators

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	// pulledChanges and pulledSlices bound what is pulled and not handled: so many
	// changes at least, and so many slices of the limits.
	pulledChanges = 4096
	pulledSlices  = 2
	// maxWaiting bounds the aggregates that wait for another attempt. Beyond it nothing
	// further is read, until some of them have been handled: see FullError.
	maxWaiting = 10_000
)

// runner is a ForEach or a Project at work. Three kinds of goroutines share it:
// the intake pulls slices, and alone tells the consumer what to hold and to
// release; workers handle; the keeper stores cursors and records, and looks after
// times. The caller's goroutine is the only worker, or waits for them.
type runner struct {
	settings
	sub stream.Consumer
	ctx context.Context // the caller's
	// do has a worker handle a task. do gives each change its outcome.
	do func(*job)
	// demand bounds a task.
	demand schedule.Demand
	// saving tells that the keeper stores cursors; otherwise transactions do.
	saving bool

	// stop ends when the runner does; what is under way may go on within work.
	stop context.Context
	halt context.CancelCauseFunc
	work context.Context

	mu       sync.Mutex
	free     *sync.Cond // workers wait for tasks
	schedule *schedule.Schedule
	ending   error   // why no further task begins; nil while they do
	failures []error // of handlers that failed after the end
	claims   map[uint32]*claim
	// owned are the claims of partitions that were gained; over are those that have
	// ended since: nothing that was delivered under one of them is handled.
	owned, over map[uint32]checkpoint.Owner
	records     []recordChange
	tally       tally
	// lastFailure is that of a change that is tried again; recovered tells that
	// none is any more and that nobody has been told.
	lastFailure error
	recovered   bool
	// toldParkings is as of which change the consumer knows what is parked.
	toldParkings uint64
	jobs         []*job // one of each worker
	result       error
	// requestsAt is when requests are looked for; skips are
	// the changes that are to be passed over; calls are made without the lock.
	requestsAt time.Time
	// lookAtRequests: somebody has signalled one. redo are those to redo an aggregate
	// that are not carried out, toRedo those of which the consumer is to be told.
	lookAtRequests bool
	redo           map[msg.Key]checkpoint.Redo
	toRedo         []msg.Key
	skips          map[msg.Key]checkpoint.Cursor
	calls          []func()
	// sliceFailures are those of slices of which several changes failed.
	sliceFailures  map[uint32]schedule.Failure
	databaseFailed atomic.Bool

	// pull and kick hold a token when the intake or the keeper have to look again.
	pull, kick chan struct{}
	// toldFull is the intake's: it has told that nothing further is read.
	toldFull bool
	// pulling ends a wait of the intake inside Next.
	pulling       context.Context
	interruptPull context.CancelFunc

	handling *stream.Handling
	saveTurn sync.Mutex // one save at a time
	// unsaved is what a save that the end interrupted had taken.
	unsaved []schedule.Handled

	reporting  bool   // somebody tells the observer
	unreported *tally // what it is told next
	reported   uint64 // the changes in what it was told, or is to be
	background sync.WaitGroup
	workers    sync.WaitGroup
}

func newRunner(ctx context.Context, s settings, sub stream.Consumer) *runner {
	r := &runner{
		settings: s, sub: sub, ctx: ctx,
		demand: schedule.Demand{Changes: 1, Full: s.limits.Changes, Bytes: s.limits.Bytes, Wait: s.limits.Wait},
		schedule: schedule.New(schedule.Limits{
			Changes: max(pulledChanges, pulledSlices*s.limits.Changes),
			Bytes:   pulledSlices * s.limits.Bytes,
			Waiting: maxWaiting,
		}),
		claims:        make(map[uint32]*claim),
		owned:         make(map[uint32]checkpoint.Owner),
		over:          make(map[uint32]checkpoint.Owner),
		skips:         make(map[msg.Key]checkpoint.Cursor),
		sliceFailures: make(map[uint32]schedule.Failure),
		pull:          make(chan struct{}, 1),
		kick:          make(chan struct{}, 1),
	}
	r.free = sync.NewCond(&r.mu)
	if r.classifier == nil {
		then := Stop
		if r.canPark() {
			then = Park
		}
		r.classifier = RetryThen(DefaultRetryFor, then)
	}
	return r
}

// run handles changes until the context or the subscription ends, or a verdict
// stops it, and returns the cause. Everything it started has ended then.
func (r *runner) run() error {
	stop, halt := context.WithCancelCause(context.WithoutCancel(r.ctx))
	r.stop, r.halt = stop, halt
	work, release := grace(stop, r.settings.stop)
	r.work = work
	defer release()
	if err := r.restore(r.ctx); err != nil {
		halt(err)
		return err
	}
	watched := context.AfterFunc(r.ctx, func() { r.end(context.Cause(r.ctx)) })
	defer watched()
	r.handling = r.sub.Handlers().Begin(r.storeSoFar)
	r.background.Go(r.intake)
	r.background.Go(r.keep)
	// Also when a handler leaves by runtime.Goexit, as t.Fatal does.
	defer func() {
		r.end(ErrExited)
		if r.settings.workers > 1 || r.onProgress != nil {
			// A handler, or an observer on the keeper's goroutine, that closes the
			// subscription waits for this, and no longer.
			r.storeSoFar()
			r.handling.Stored()
			r.workers.Wait()
		}
		r.background.Wait()
		r.result = r.last()
		r.handling.End()
	}()
	if r.settings.workers == 1 {
		r.worker()
		return nil
	}
	for range r.settings.workers {
		r.workers.Go(r.joined)
	}
	<-stop.Done()
	return nil
}

// joined is a worker on a goroutine of its own.
func (r *runner) joined() {
	defer r.handling.Join()()
	r.worker()
}

// storeSoFar stores what was handled, although the subscription may have ended.
func (r *runner) storeSoFar() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.settings.stop)
	defer cancel()
	_ = r.save(ctx) // what is not stored is tried once more at the end, and told then
}

// end lets no further task begin. The first cause counts.
func (r *runner) end(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(cause)
}

func (r *runner) endLocked(cause error) {
	if r.ending != nil {
		return
	}
	r.ending = cause
	r.halt(cause)
	r.free.Broadcast()
	r.interruptLocked()
	signal(r.kick)
}

// ended reports whether anything has ended the runner. The sources themselves
// are asked: no handler begins behind a Close that has returned.
func (r *runner) endedLocked() bool {
	if r.ending == nil {
		if r.ctx.Err() != nil {
			r.endLocked(context.Cause(r.ctx))
		} else if err := r.sub.Err(); err != nil {
			r.endLocked(err)
		}
	}
	return r.ending != nil
}

// interruptLocked has the intake look for orders.
func (r *runner) interruptLocked() {
	if r.interruptPull != nil {
		r.interruptPull()
		r.interruptPull = nil
	}
	signal(r.pull)
}

// signal leaves a token in a channel of one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// intake pulls slices while there is room.
func (r *runner) intake() {
	for {
		ctx, ok := r.mayPull()
		if !ok {
			return
		}
		changes, err := r.sub.Next(ctx)
		if err != nil {
			if ctx.Err() != nil && r.sub.Err() == nil {
				continue
			}
			r.end(err)
			return
		}
		if !r.gained(changes) {
			return
		}
		r.tellPartitions(stream.Gained, r.hooks.Gained, changes)
		r.add(changes)
		r.tellPartitions(stream.Lost, r.hooks.Lost, changes)
	}
}

// mayPull waits until a slice may be pulled, and carries out orders meanwhile.
// Since only the intake does both, no slice can be on its way that was pulled
// before a hold and added behind the release.
func (r *runner) mayPull() (ctx context.Context, ok bool) {
	for {
		r.mu.Lock()
		orders := r.ordersLocked()
		room, ended := r.schedule.Room(), r.endedLocked()
		full := r.schedule.Waiting() >= maxWaiting
		if !ended && room && orders.none() {
			if r.interruptPull == nil {
				r.pulling, r.interruptPull = context.WithCancel(r.stop)
			}
			r.toldFull = false
			ctx = r.pulling
			r.mu.Unlock()
			return ctx, true
		}
		r.mu.Unlock()
		switch {
		case ended:
			return nil, false
		case !orders.none():
			r.carryOutOrders(orders)
		case full && !r.toldFull:
			r.toldFull = true
			r.tellFull()
		default:
			<-r.pull
		}
	}
}

// orders are what the consumer is to be told. An aggregate in several lists is held first
// and redone last.
type orders struct{ hold, release, redo []msg.Key }

func (o *orders) none() bool { return len(o.hold)+len(o.release)+len(o.redo) == 0 }

func (r *runner) ordersLocked() (o orders) {
	o.hold, o.release = r.schedule.Orders()
	o.redo, r.toRedo = r.toRedo, nil
	return o
}

func (r *runner) carryOutOrders(o orders) {
	if len(o.hold) > 0 {
		r.sub.Hold(o.hold...)
	}
	if len(o.release) > 0 {
		r.sub.Release(o.release...)
	}
	for _, key := range o.redo {
		r.sub.Redo(key)
	}
}

// add takes a slice that was pulled.
func (r *runner) add(changes []stream.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	from := 0
	for i := range changes {
		if changes[i].Owner == (checkpoint.Owner{}) {
			changes[i].Owner = r.sub.Owner() // a transport that knows one claim only
		}
		switch c := &changes[i]; {
		case c.Kind == stream.Gained || c.Kind == stream.Lost:
			r.schedule.Add(now, changes[from:i])
			r.partition(c)
			from = i + 1
		case r.overLocked(c):
			r.schedule.Add(now, changes[from:i])
			from = i + 1
		}
	}
	r.schedule.Add(now, changes[from:])
	r.free.Broadcast()
	if r.demand.Wait > 0 {
		signal(r.kick) // the keeper wakes the workers when the wait is over
	}
}

// worker handles tasks until there are none any more.
func (r *runner) worker() {
	var j job
	defer r.works(&j)()
	finished := false
	defer func() {
		if finished {
			return
		}
		if r.settings.workers == 1 {
			r.end(ErrExited) // the goroutine is the caller's
		} else if value := recover(); value != nil {
			r.end(&PanicError{Value: value, Stack: debug.Stack()})
		}
		if j.open {
			// Not a handler, whose failure would have been judged: a classifier, a hook or
			// a logger ended this goroutine.
			r.abandon(&j)
		}
		if r.settings.workers > 1 {
			r.workers.Go(r.joined)
		}
	}()
	for r.take(&j) {
		if !r.expired(&j) && !r.skipped(&j) {
			r.do(&j)
		}
		r.done(&j)
	}
	finished = true
}

// job is a task and the context for its handler.
type job struct {
	schedule.Task
	ctx  context.Context
	open bool // it was taken and is not done
	advance
}

// abandon ends a task of which it is not known what became: its aggregates are read again
// from what is stored.
func (r *runner) abandon(j *job) {
	r.mu.Lock()
	for i := range j.Changes {
		c := &j.Changes[i]
		switch {
		case c.Kind == stream.CaughtUp:
			r.schedule.Retry(c, r.schedule.Failure(c), time.Now())
		case !r.lostLocked(j, c):
			r.schedule.Reread(c)
		}
	}
	r.mu.Unlock()
	r.done(j)
	r.mu.Lock()
	r.interruptLocked()
	r.mu.Unlock()
	signal(r.kick)
}

// exited is called when a handler ends its goroutine.
func (r *runner) exited(j *job, c *stream.Change) {
	if r.settings.workers > 1 {
		r.failed(j, c, ErrExited)
		r.mu.Lock()
		for i := range j.Changes {
			if other := &j.Changes[i]; other.Key != c.Key && !r.lostLocked(j, other) {
				r.schedule.Reread(other) // whatever had become of it
			}
		}
		r.mu.Unlock()
	} else {
		r.end(ErrExited)
	}
	r.done(j)
}

// take waits for a task.
func (r *runner) take(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.endedLocked() {
			return false
		}
		if r.maySaveMore() && r.schedule.Take(r.opening(), r.demand, &j.Task) {
			c := &j.Changes[0]
			if c.Kind == stream.CaughtUp && !r.caughtUpLocked(c) {
				r.schedule.Handled(time.Time{}, c, false)
				r.schedule.Done(r.opening(), &j.Task)
				continue
			}
			j.ctx, j.open = r.claimLocked(c.Owner, c.Partition), true
			j.turn++
			j.key, j.version = c.Key, versionOf(c)
			return true
		}
		if r.schedule.Collected() > 0 && r.schedule.Resting() {
			signal(r.kick)
		}
		r.free.Wait()
	}
}

// opening returns the time where it counts: while changes are collected. To ask for
// it costs as much as the rest of a step.
func (r *runner) opening() time.Time {
	if r.demand.Wait > 0 {
		return time.Now()
	}
	return time.Time{}
}

// maySaveMore reports whether another change may be handled: what is handled
// and not stored is bounded.
func (r *runner) maySaveMore() bool {
	return !r.saving || r.schedule.Unsaved()+r.schedule.Running() < r.limits.Changes
}

// done ends a task.
func (r *runner) done(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	full := !r.schedule.Room()
	j.open = false
	r.schedule.Done(r.opening(), &j.Task)
	if full && r.schedule.Room() || r.schedule.HasOrders() {
		r.interruptLocked()
	}
	if r.settings.workers > 1 {
		r.free.Broadcast()
	}
}

// handledLocked notes that a change was handled or passed over.
func (r *runner) handledLocked(j *job, c *stream.Change) {
	if r.lostLocked(j, c) {
		return
	}
	before := r.schedule.Collected()
	var now time.Time
	if before == 0 {
		now = time.Now() // later ones are stored with the first
	}
	f, ended := r.schedule.Handled(now, c, r.saving)
	if ended {
		r.recoveredLocked(c, f)
	}
	if len(r.redo) > 0 {
		r.redoneLocked(c)
	}
	if c.Kind == stream.Truncated && c.From <= c.To {
		r.recordPassed(c, c.From, c.To, "truncated")
	}
	if !r.saving {
		return
	}
	r.tally.add(c)
	after := r.schedule.Collected()
	if before == 0 && after > 0 || after >= max(1, r.limits.Changes/2) || !c.Moves() {
		signal(r.kick)
	}
}

// cause is why the runner ended, with what failed meanwhile.
func (r *runner) cause() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	cause := r.ending
	if r.lastFailure != nil && r.schedule.Failing() > 0 {
		cause = retrying(cause, r.lastFailure)
	}
	if len(r.failures) == 0 {
		return cause
	}
	return errors.Join(append([]error{cause}, r.failures...)...)
}

// last stores what is left, with a context of its own.
func (r *runner) last() error {
	cause := r.cause()
	if errors.Is(cause, checkpoint.ErrFenced) {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.settings.stop)
	defer cancel()
	if err := r.save(ctx); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// retrying is the last failure of what waits for another attempt when the context
// ends, so that it is told to somebody.
func retrying(cause, failure error) error {
	if failure == nil || errors.Is(cause, failure) {
		return cause
	}
	return fmt.Errorf("%w (while trying again: %w)", cause, failure)
}
