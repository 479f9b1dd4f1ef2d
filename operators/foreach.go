package operators

import (
	"cmp"
	"context"
	"time"

	"github.com/celeriant/celeriant-go/stream"
)

// ForEach subscribes, calls handler for every change, in order within each
// aggregate, and stores the cursors behind it: at least once. Cursors are stored
// while handlers go on: when everything that was waiting has been handled, at the
// latest when [WithLimits] are reached (512 changes) or one second after a change was
// handled. After a crash at most what was handled since comes again, in order.
//
// One change is handled at a time, with [WithWorkers] changes of several aggregates.
// CaughtUp is handled once everything that came before it was.
//
// # When the handler fails
//
// A handler that returns an error, panics or ends its goroutine has failed. A
// [Verdict] says what follows, see [WithVerdicts]: the change is tried again after a
// pause while all other aggregates go on, its aggregate is parked, it is skipped,
// or ForEach ends. By default it is tried again for five minutes, with pauses of
// 100 ms that grow to 30 s; then its aggregate is parked, or, where the checkpoint
// store has no place for that, ForEach ends. Nothing is ever passed over unasked.
// Errors of a database that pass by themselves are tried again for as long as they
// last. Each failure is in the health of the subscription, see [stream.Stats].
//
// # The end
//
// ForEach ends, always with an error and with its subscription closed:
//   - when ctx ends, with ctx's cause. No further change is begun; handlers in
//     flight finish, for which their context outlives ctx by the stop timeout;
//     what was handled is stored with a fresh context.
//   - when the verdict is Stop, with a [*HandlerError] that names the change; a
//     panic is a [*PanicError] inside. Handled changes are stored, this one is not.
//   - when the subscription ends, with its terminal cause, for instance
//     [checkpoint.ErrFenced]. A checkpoint store that fails for a while is
//     retried instead.
//
// If the last cursors could not be stored, that error is joined, and so is the
// failure of a handler that was still trying.
func ForEach(ctx context.Context, src Source, handler func(ctx context.Context, c stream.Change) error, opts ...ForEachOption) (err error) {
	s := defaults()
	for _, o := range opts {
		o.forEach(&s)
	}
	sub, err := s.open(ctx, src)
	if err != nil {
		return err
	}
	var cause error
	defer func() { err = finish(ctx, sub, cause, s.stop) }()
	r := newRunner(ctx, s, sub)
	r.saving = true
	r.do = func(j *job) { r.forOne(handler, j) }
	defer func() { cause = cmp.Or(cause, r.result) }()
	cause = r.run()
	return cause
}

// forOne has the handler handle the one change of a task.
func (r *runner) forOne(handler Handler, j *job) {
	c := &j.Changes[0]
	began := time.Time{}
	if r.hooks.Handled != nil {
		began = time.Now()
	}
	err := guarded(func() error { return handler(j.ctx, *c) }, func() { r.exited(j, c) })
	r.tellHandled(c, 1, j.Failure.Attempts+1, began, err)
	if err != nil {
		r.failed(j, c, err)
		return
	}
	r.mu.Lock()
	r.handledLocked(j, c)
	r.mu.Unlock()
}

func (r *runner) tellHandled(c *stream.Change, changes, attempt int, began time.Time, err error) {
	tell(&r.settings, r.hooks.Handled, func() HandledInfo {
		return HandledInfo{
			Kind: c.Kind, Key: c.Key, Version: versionOf(c), Changes: changes,
			Attempt: attempt, Duration: time.Since(began), Err: err,
		}
	})
}
