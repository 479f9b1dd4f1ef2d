package msg

import "errors"

// The predicates below decide on a whole tree of errors, as errors.Join and
// fmt.Errorf with several %w make them. In each branch the outermost error that
// has the method of the predicate's name decides for everything it wraps, since
// it has seen its causes and knows more.

// Ambiguous reports whether a mutation may have been applied although it failed:
// whether any branch of err says so.
func Ambiguous(err error) bool {
	for _, b := range branches[interface{ Ambiguous() bool }](err, nil) {
		if b.decided && b.by.Ambiguous() {
			return true
		}
	}
	return false
}

// SafeToRetry reports whether the request was certainly not applied and may
// succeed later or on another node: whether every branch of err says so, and
// none is ambiguous. A branch that says nothing is not safe. SafeToRetry is
// false for a nil error.
func SafeToRetry(err error) bool {
	all := branches[interface{ SafeToRetry() bool }](err, nil)
	for _, b := range all {
		if !b.decided || !b.by.SafeToRetry() {
			return false
		}
	}
	return len(all) > 0 && !Ambiguous(err)
}

// Timeout reports whether any branch of err is a timeout.
func Timeout(err error) bool {
	for _, b := range branches[interface{ Timeout() bool }](err, nil) {
		if b.decided && b.by.Timeout() {
			return true
		}
	}
	return false
}

// branch is one branch of a tree of errors.
type branch[T any] struct {
	by      T    // the outermost error that is a T
	decided bool // there is one
}

// branches appends the branches of err to all.
func branches[T any](err error, all []branch[T]) []branch[T] {
	for err != nil {
		if by, ok := decider[T](err); ok {
			return append(all, branch[T]{by: by, decided: true})
		}
		joined, several := err.(interface{ Unwrap() []error })
		if several {
			for _, e := range joined.Unwrap() {
				all = branches(e, all)
			}
			return all
		}
		below := errors.Unwrap(err)
		if below == nil {
			return append(all, branch[T]{})
		}
		err = below
	}
	return all
}

// decider is errors.As for err alone, without what it wraps.
func decider[T any](err error) (T, bool) {
	if by, ok := err.(T); ok {
		return by, true
	}
	var by T
	as, ok := err.(interface{ As(any) bool })
	return by, ok && as.As(&by)
}
