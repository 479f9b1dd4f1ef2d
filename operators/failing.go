package operators

import (
	"errors"
	"runtime/debug"
	"time"

	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

// ErrExited is a handler that ended its goroutine with runtime.Goexit, as t.Fatal
// does outside of the goroutine of the test.
var ErrExited = errors.New("operators: the handler ended its goroutine")

// guarded runs a handler and makes an error of its panic. A handler that ends the
// goroutine has exited called with the deferred functions.
func guarded(handler func() error, exited func()) (err error) {
	returned := false
	defer func() {
		switch value := recover(); {
		case value != nil:
			err = &PanicError{Value: value, Stack: debug.Stack()}
		case !returned:
			exited()
		}
	}()
	err = handler()
	returned = true
	return err
}

// failed judges the failure of a change and carries the judgement out.
func (r *runner) failed(j *job, c *stream.Change, err error) {
	r.mu.Lock()
	before := r.schedule.Failure(c)
	if r.lostLocked(j, c) {
		r.mu.Unlock()
		return
	}
	if r.endedLocked() {
		// Nobody tries it again here: the error is told, the change comes again.
		r.failures = append(r.failures, handlerError(c, err))
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()

	now := time.Now()
	f := Failure{Change: *c, Err: err, Attempt: before.Attempts + 1, Passing: r.passes(r.sub.Store(), err)}
	if !before.First.IsZero() {
		f.Since = now.Sub(before.First)
	}
	v := judge(f, r.classify(f), situation{now: now, before: before, canPark: r.canPark(), jitter: jitter()})
	r.carryOut(j, c, f, v)
	tell(&r.settings, r.hooks.Verdict, func() VerdictInfo {
		return VerdictInfo{Failure: f, Verdict: v.verdict, Next: v.due}
	})
}

// tellFull shows that nothing further is read.
func (r *runner) tellFull() {
	full := &FullError{Waiting: maxWaiting}
	r.logger.Warn("nothing further is read", "subscription", r.sub.Name(), "cause", full)
	r.sub.ReportRetry(stream.WhatHandler, full, time.Now().Add(firstRetry))
}

func (r *runner) carryOut(j *job, c *stream.Change, f Failure, v judgement) {
	named := handlerError(c, f.Err)
	if v.verdict == Retry {
		r.logger.Warn("handler failed, trying again", "subscription", r.sub.Name(), "cause", named, "attempt", f.Attempt, "next", v.due)
		r.sub.ReportRetry(stream.WhatHandler, named, v.due)
	} else {
		r.logger.Warn("handler failed", "subscription", r.sub.Name(), "cause", named, "attempt", f.Attempt, "verdict", v.verdict)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lostLocked(j, c) {
		return
	}
	switch v.verdict {
	case Stop:
		r.recordStop(c, v.failure)
		if leased(c.Owner) {
			r.stopPartition(c, named)
			break
		}
		r.lastFailure = nil
		r.endLocked(named)
	case Skip:
		r.recordSkip(c, v.failure)
		r.passOverLocked(j, c)
	case Park:
		r.schedule.Park(c, v.failure)
		r.recordParked(c, v.failure)
	case Retry:
		if v.failure.Last.Sub(v.failure.First) >= recordAfter {
			v.failure.Recorded = r.recordFailing(c, v.failure)
		}
		r.schedule.Retry(c, v.failure, v.due)
		r.lastFailure = named
	}
	signal(r.kick)
	r.interruptLocked()
}

// passOverLocked has the cursor of a change stored that was not handled.
func (r *runner) passOverLocked(j *job, c *stream.Change) {
	if r.saving || !c.Moves() {
		r.handledLocked(j, c)
		return
	}
	// Its cursor is stored by itself; a transaction must not come before.
	if f, ended := r.schedule.Handled(time.Now(), c, true); ended {
		r.recoveredLocked(c, f)
	}
	r.schedule.Reread(c)
}

// recordAfter is how long a change must have failed before that is stored, so that
// the next owner counts on.
const recordAfter = time.Minute

// stopPartition drops a partition of which a change has stopped; others go on.
// The record that says so is stored before the partition can be another's.
func (r *runner) stopPartition(c *stream.Change, cause error) {
	stops := r.records
	r.records = nil
	r.loseLocked(c.Owner, c.Partition, cause)
	r.records = stops
}

// recoveredLocked notes that a change was handled that had failed.
func (r *runner) recoveredLocked(c *stream.Change, f schedule.Failure) {
	r.recordRecovered(c, f)
	if r.schedule.Failing() == 0 {
		r.lastFailure = nil
		r.recovered = true
		signal(r.kick)
	}
}
