package operators

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

// Verdict is what follows the failure of a handler.
type Verdict uint8

const (
	// Retry has the change handled again after a pause. Its aggregate waits
	// meanwhile, all others go on.
	Retry Verdict = iota + 1
	// Park sets the aggregate aside, with its cursor frozen, until its release is
	// asked for; all others go on. Parking survives restarts. Where there is no
	// place to park, or as many aggregates are parked as may be, Park means Retry
	// without an end.
	Park
	// Skip passes the change over: its cursor is stored as if it was handled, and
	// that it was not is recorded.
	Skip
	// Stop ends the consumer with the handler's error. In a store that keeps
	// records nobody continues the subscription before the stop is taken back.
	Stop
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	switch v {
	case Retry:
		return "retry"
	case Park:
		return "park"
	case Skip:
		return "skip"
	case Stop:
		return "stop"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// Failure is a failed attempt at a change.
type Failure struct {
	// Change is the one that failed. Its batch is not to be kept.
	Change stream.Change
	// Err is what the handler returned; a panic is a [*PanicError].
	Err error
	// Attempt counts the attempts at this change, this one included, also those of
	// earlier owners of the subscription.
	Attempt int
	// Since is the time since the first of them failed; 0 at the first.
	Since time.Duration
	// Passing tells that the error is one of a database that passes by itself: a
	// lost connection, a deadlock, a server in recovery.
	Passing bool
}

// Classifier judges failures. A Classifier may be called from several goroutines
// at once. A panic in it means Retry.
type Classifier func(Failure) Verdict

// DefaultRetryFor is how long the default classifier has a change tried again.
const DefaultRetryFor = 5 * time.Minute

// RetryThen returns a classifier that has a change tried again for a time, and
// then gives the verdict then. Passing errors of a database are tried again for as
// long as they last.
func RetryThen(limit time.Duration, then Verdict) Classifier {
	return func(f Failure) Verdict {
		if f.Passing || f.Since < limit {
			return Retry
		}
		return then
	}
}

// Pauses between the attempts at a change, each varied by up to half: the first
// one, doubled with each attempt, and the longest.
const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 30 * time.Second
)

// pause returns the wait before the next attempt. jitter is in [0, 1).
func pause(failed int, after time.Duration, jitter float64) time.Duration {
	d := longestRetry
	if shift := failed - 1; shift < 10 {
		d = min(firstRetry<<max(0, shift), longestRetry)
	}
	d = d/2 + time.Duration(jitter*float64(d/2)) + 1
	return max(d, after)
}

// judgement is a verdict with what it needs to be carried out.
type judgement struct {
	verdict Verdict
	failure schedule.Failure
	due     time.Time // of a Retry
}

// situation is what a judgement depends on beside the failure itself.
type situation struct {
	now     time.Time
	before  schedule.Failure // what is known of earlier attempts
	canPark bool
	jitter  float64
}

// judge makes a judgement of a verdict: what cannot be carried out is a Retry, so
// that nothing is passed over unasked.
func judge(f Failure, v Verdict, s situation) judgement {
	j := judgement{verdict: v, failure: s.before}
	j.failure.Attempts++
	j.failure.Last, j.failure.Err = s.now, f.Err
	if j.failure.First.IsZero() {
		j.failure.First = s.now
	}
	switch {
	case v == Stop, v == Skip && f.Change.Moves(), v == Skip && f.Change.Kind == stream.CaughtUp:
		return j
	case v == Park && s.canPark && f.Change.Kind != stream.CaughtUp:
		return j
	}
	var asked interface{ RetryAfter() time.Duration }
	var after time.Duration
	if errors.As(f.Err, &asked) {
		after = max(0, asked.RetryAfter())
	}
	j.verdict, j.due = Retry, s.now.Add(pause(j.failure.Attempts, after, s.jitter))
	return j
}

// RetryAfter wraps err so that the next attempt is made no sooner than after, for
// instance because a service asked for it. Any error with a method
// RetryAfter() time.Duration has this effect.
func RetryAfter(err error, after time.Duration) error { return &retryAfterError{err, after} }

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string             { return e.err.Error() }
func (e *retryAfterError) Unwrap() error             { return e.err }
func (e *retryAfterError) RetryAfter() time.Duration { return e.after }

// classify asks the classifier.
func (s *settings) classify(f Failure) (v Verdict) {
	defer func() {
		if value := recover(); value != nil {
			s.logger.Error("the classifier panicked: the change is tried again", "change", f.Change.String(), "panic", value)
			v = Retry
		}
	}()
	return s.classifier(f)
}

func jitter() float64 { return rand.Float64() }
