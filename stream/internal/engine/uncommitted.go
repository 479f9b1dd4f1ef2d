package engine

import "errors"

// ErrUncommitted is the cause of a subscription that reads nothing: so many aggregates
// have changes that were delivered and not committed.
var ErrUncommitted = errors.New("too many aggregates have changes that are delivered and not committed")

// recount counts the lane among those with deliveries that are not committed, if it is
// one: each costs memory until it is.
func (e *Engine) recount(l *lane) {
	if is := l.waitsForCommit(); is != l.work.uncommitted {
		l.work.uncommitted = is
		e.uncommitted += oneIf(is)
	}
}

// waitsForCommit reports whether the consumer has to commit something of the lane.
func (l *lane) waitsForCommit() bool {
	return l.known.loaded && l.work.phase != adopting && l.known.cursor.Compare(l.known.committed) > 0
}

// full reports whether nothing may be read until more is committed.
func (e *Engine) full() bool {
	return e.opts.MaxUncommitted > 0 && e.uncommitted >= e.opts.MaxUncommitted
}

// tellFull says that reading waits for commits, and that it does no more.
func (e *Engine) tellFull() {
	is := e.full() && e.ready.len() > 0
	if is == e.brimful {
		return
	}
	e.brimful = is
	c := Command{Kind: SetState, Phase: e.phase}
	if is {
		c.Err = ErrUncommitted
	}
	e.emit(c)
}
