package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Unhandled is what is known of and not committed: the number of versions, and since
// when the oldest of them waits, by the server's time of its batch or, of one not read
// yet, by the time at which it was heard of.
func (e *Engine) Unhandled() (versions uint64, oldest time.Time) {
	e.countLanes()
	return e.counts.unhandled, e.counts.pending.oldest()
}

// unhandled counts the versions between the committed cursor and what was heard of; the
// end or the start of a life without a version counts as one.
func (l *lane) unhandled() uint64 {
	k := &l.known
	head := max(l.heard.target, k.cursor.Version)
	switch {
	case l.work.phase == onHold:
		return l.held()
	case !k.loaded || l.origin != nil:
		if l.work.dirty {
			return 1
		}
		return 0
	case k.cursor.Life != k.committed.Life:
		return max(1, head)
	case head > k.committed.Version && !k.committed.Deleted:
		return head - k.committed.Version
	case k.cursor.Compare(k.committed) > 0 || l.work.phase == parked:
		return 1
	}
	return 0
}

// held counts the versions of a held aggregate that wait for its consumer, at least one. Of
// one whose cursor was not looked up when it was held nothing more is known.
func (l *lane) held() uint64 {
	committed := l.known.committed
	switch {
	case !l.work.pending || l.work.aside:
		return 0
	case !l.work.placed || committed.Deleted || l.heard.target <= committed.Version:
		return 1
	}
	return l.heard.target - committed.Version
}

// waitsSince notes, with the first batch delivered beyond the committed cursor, the
// server's time of it.
func (l *lane) waitsSince(serverTimestamp uint64) {
	if l.known.cursor.Compare(l.known.committed) <= 0 {
		l.since = time.UnixMilli(int64(serverTimestamp))
	}
}

// waitsLess follows a commit: what still waits is newer than what was committed.
func (l *lane) waitsLess() {
	c := &l.known.committed
	if l.known.cursor.Compare(*c) <= 0 && !l.work.dirty {
		l.since = time.Time{}
		return
	}
	if at := time.UnixMilli(int64(c.Anchor.ServerTimestamp)); c.Anchor != (checkpoint.Anchor{}) && at.After(l.since) {
		l.since = at
	}
}
