package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// ErrNoLeader: no node took the mutation, or was found to lead, within FailoverBudget.
// Documented in package pool.
var ErrNoLeader = errors.New("no node accepted")

// maxAttempts bounds the attempts kept for a failure.
const maxAttempts = 16

// Failure is how an operation has failed.
type Failure struct {
	// Err is the cause.
	Err error
	// Node is where it arose, empty when it arose at none.
	Node string
	// Attempts are the latest failures, one for each node and operation, bounded;
	// Omitted is how many nodes have none among them.
	Attempts []conn.Attempt
	Omitted  int
	// Tries is how many attempts were made, the successful ones included.
	Tries int
	// Sent: some attempt was sent. Unsure: some attempt may have been applied.
	Sent, Unsure bool
}

// Tries are the attempts at one operation: how many were made, and those that failed, in
// their order, at most maxAttempts.
type Tries struct {
	Made   int
	Failed []conn.Attempt
}

// attempts is the record of one operation.
type attempts struct {
	tried   Tries
	failed  []conn.Attempt
	omitted int
	sent    bool
	unsure  bool
}

// note takes note of an attempt of the operation itself.
func (l *attempts) note(a conn.Attempt) {
	l.tried.Made++
	l.sent = l.sent || a.Sent
	l.unsure = l.unsure || a.Applied == conn.AppliedUnknown
	if a.Err != nil {
		if len(l.tried.Failed) < maxAttempts {
			l.tried.Failed = append(l.tried.Failed, a)
		}
		l.keep(a)
	}
}

// keep keeps a failure, in the place of an earlier one of the same node. keep
// serves probes, too, which say nothing about the operation.
func (l *attempts) keep(a conn.Attempt) {
	for i := range l.failed {
		if l.failed[i].Node == a.Node {
			if l.failed[i].Operation == a.Operation || !isProbe(a) {
				l.failed[i] = a
			}
			return
		}
	}
	if len(l.failed) == maxAttempts {
		l.omitted++
		return
	}
	l.failed = append(l.failed, a)
}

func isProbe(a conn.Attempt) bool {
	return a.Operation == msg.TypeWriteRequest && a.Applied == conn.AppliedNo
}

// representative is the failure that tells most: that of a busy leader before those of
// nodes that do not lead, and these before silence.
func (l *attempts) representative() error {
	var best error
	rank := 3
	for _, a := range l.failed {
		if r := rankOf(a); r < rank {
			best, rank = a.Err, r
		}
	}
	return best
}

func rankOf(a conn.Attempt) int {
	var refusal *msg.ServerError
	switch {
	case !errors.As(a.Err, &refusal):
		return 2
	case errors.Is(refusal, msg.ErrNotLeader):
		return 1
	}
	return 0
}

// waitError says that a caller left, or the pool was closed, while an operation waited
// between rounds, and on what.
type waitError struct {
	ended error
	last  error
}

func (e *waitError) Error() string {
	return e.ended.Error() + ", while waiting to try again: " + e.last.Error()
}
func (e *waitError) Unwrap() []error { return []error{e.ended, e.last} }

// budgetError says that FailoverBudget was spent, and on what.
type budgetError struct {
	budget time.Duration
	last   error // may be nil
}

func (e *budgetError) Error() string {
	text := fmt.Sprintf("%v within %v", ErrNoLeader, e.budget)
	if e.last != nil {
		text += ": " + e.last.Error()
	}
	return text
}

func (e *budgetError) Unwrap() []error {
	if e.last == nil {
		return []error{ErrNoLeader}
	}
	return []error{ErrNoLeader, e.last}
}
func (e *budgetError) Timeout() bool { return true }
