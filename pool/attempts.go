package pool

import (
	"errors"
	"strings"

	"github.com/celeriant/celeriant-go/msg"
)

// Attempt is the last thing that one node did about a failed operation.
type Attempt struct {
	Node string
	Err  error
}

// AttemptsError is the cause of an operation that failed at several nodes, or
// several times. Its chain holds Cause and the error of every attempt; what
// nodes answered comes before what kept others from answering, and a busy
// leader before those who are none.
type AttemptsError struct {
	// Cause is why no further attempt was made.
	Cause error
	// Attempts is the latest failure of every node tried, in the order of the
	// first tries.
	Attempts []Attempt
}

// Error names every node and its reason.
func (e *AttemptsError) Error() string {
	var text strings.Builder
	text.WriteString(e.heading())
	for i, a := range e.Attempts {
		if i == 0 {
			text.WriteString("tried ")
		} else {
			text.WriteString("; ")
		}
		text.WriteString(a.Node + ": " + a.Err.Error())
	}
	return text.String()
}

// heading is the cause, unless an attempt says the same.
func (e *AttemptsError) heading() string {
	for _, a := range e.Attempts {
		if e.Cause == a.Err {
			return ""
		}
	}
	return e.Cause.Error() + ": "
}

// Unwrap returns the cause and the errors of all attempts, the telling first.
func (e *AttemptsError) Unwrap() []error {
	all := []error{e.Cause}
	for rank := range ranks {
		for _, a := range e.Attempts {
			if a.Err != e.Cause && rankOf(a.Err) == rank {
				all = append(all, a.Err)
			}
		}
	}
	return all
}

const ranks = 3

// rankOf orders errors by what they tell.
func rankOf(err error) int {
	var refusal *msg.ServerError
	switch {
	case !errors.As(err, &refusal):
		return 2
	case errors.Is(refusal, msg.ErrNotLeader):
		return 1
	}
	return 0
}
