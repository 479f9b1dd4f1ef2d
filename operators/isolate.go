package operators

import (
	"errors"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// commonCause is the number of culprits in one slice that are taken for victims of
// one cause instead: nobody is set aside because of it.
const commonCause = 3

// culprit is a change that failed alone.
type culprit struct {
	at  int // its place in the slice
	err error
}

// isolation is what came of a slice that was applied in parts.
type isolation struct {
	// applied has the places of the changes that were applied, in order.
	applied []int
	// culprits failed alone; common tells that there are so many that the rest was
	// left alone.
	culprits []culprit
	common   bool
}

// isolate applies a slice in as few transactions as it takes to find the changes
// that fail: one if none does, 12 of 512 for one culprit. Changes behind a culprit in its
// aggregate are not applied. apply is called with the changes at some places, in
// order; an error that tells of a handler's failure is what is searched for, see
// [HandlerError], any other ends the search and is returned.
func isolate(changes []stream.Change, apply func(places []int) error) (done isolation, err error) {
	rest := make([]int, len(changes))
	for i := range rest {
		rest[i] = i
	}
	for len(rest) > 0 {
		failed := apply(rest)
		if failed == nil {
			done.applied = append(done.applied, rest...)
			return done, nil
		}
		applied, later, found, err := narrow(changes, rest, failed, apply)
		done.applied = append(done.applied, applied...)
		if err != nil {
			return done, err
		}
		if rest = later; found == nil {
			continue
		}
		done.culprits = append(done.culprits, *found)
		if len(done.culprits) == commonCause {
			done.common = true
			return done, nil
		}
		rest = without(changes, later, changes[found.at].Key)
	}
	return done, nil
}

// narrow halves places, of which the whole failed, until one is left, and returns
// what it applied on the way, what is left to be applied, and the culprit; none if
// what failed first did not fail alone.
func narrow(changes []stream.Change, places []int, failed error, apply func([]int) error) (applied, later []int, found *culprit, err error) {
	alone := len(places) == 1
	for {
		if !isHandlers(failed) {
			return applied, nil, nil, failed
		}
		if len(places) == 1 {
			if !alone {
				if failed = apply(places); failed == nil {
					return append(applied, places...), later, nil, nil
				}
				alone = true
				continue
			}
			return applied, later, &culprit{at: places[0], err: failed}, nil
		}
		half := split(changes, places, failed)
		head, tail := places[:half], places[half:]
		if f := apply(head); f != nil {
			failed, places, alone = f, head, half == 1
			later = append(append([]int(nil), tail...), later...)
			continue
		}
		applied = append(applied, head...)
		places, alone = tail, false
	}
}

// split returns where places are divided: in the middle, or so that a change that
// the failure names is the first of the second part or the whole of the first.
func split(changes []stream.Change, places []int, failed error) int {
	var named interface{ FailedChange() (msg.Key, uint64) }
	if errors.As(failed, &named) {
		key, version := named.FailedChange()
		for i, at := range places {
			if c := &changes[at]; c.Key == key && versionOf(c) == version {
				return max(1, i)
			}
		}
	}
	return len(places) / 2
}

// isHandlers reports whether a failure is the handler's.
func isHandlers(err error) bool {
	var failed *HandlerError
	return errors.As(err, &failed)
}

func without(changes []stream.Change, places []int, key msg.Key) []int {
	kept := places[:0]
	for _, at := range places {
		if changes[at].Key != key {
			kept = append(kept, at)
		}
	}
	return kept
}

// At says which change an error of a handler of [Project] belongs to, so that it
// is found at once in a slice that failed. A [*DecodeError] says it by itself.
func At(c stream.Change, err error) error {
	if err == nil {
		return nil
	}
	return &changeError{key: c.Key, version: versionOf(&c), err: err}
}

type changeError struct {
	key     msg.Key
	version uint64
	err     error
}

func (e *changeError) Error() string                   { return e.err.Error() }
func (e *changeError) Unwrap() error                   { return e.err }
func (e *changeError) FailedChange() (msg.Key, uint64) { return e.key, e.version }
