package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// heard is what notifications and lists told of an aggregate since the pass began
// and what no read has shown yet.
type heard struct {
	target uint64 // highest version heard of; 0 when none was named
	// force asks for a read whatever the target says: a create, a delete, or an
	// aggregate nobody named a version of.
	force bool
	// since is the lowest version written, as far as was heard; 0 for none.
	since uint64
	// openEnded: the target may lie below the head, for of some change no version was
	// named. Reading goes on until nothing follows.
	openEnded bool
	// repeats: the history is read again, of which no notification need name the head.
	// CaughtUp waits for the target alone.
	repeats bool
	// listedDeleted is the list's word, which beats any read until a create, a write
	// or a later list.
	listedDeleted bool
	// doubtUntil is until when that word, had in the shard's listEpoch, is doubted;
	// zero if it is not.
	doubtUntil time.Time
	listEpoch  uint64
	// head is the newest batch the leader's list named, headTime its time; 0 once a
	// batch like it was delivered, or the leader's word was had.
	head, headTime uint64
	// told is when the leader told of the target; zero when it did not.
	told time.Time
	// lifeSince tells of a create or delete since the read under way was issued,
	// trimSince of the highest floor.
	lifeSince bool
	trimSince uint64
	expects   expectation
}

// leaderOnly is a head that no node but the leader can be found to show.
const leaderOnly = ^uint64(0)

// atLeast raises the target.
func (h *heard) atLeast(version uint64) { h.target = max(h.target, version) }

// changed notes a change of which the version is not known, 0, or known.
func (h *heard) changed(version uint64) {
	h.atLeast(version)
	h.openEnded = h.openEnded || version == 0
}

// wrote notes the first version that a notification tells of.
func (h *heard) wrote(from uint64) {
	if from > 0 && (h.since == 0 || from < h.since) {
		h.since = from
	}
}

// endUnknown reports whether the target may lie below the head.
func (h *heard) endUnknown() bool { return h.target == 0 || h.openEnded || h.repeats }

// short reports whether a cursor does not reach what was heard of.
func (h *heard) short(k *known) bool { return h.target > k.cursor.Version || !h.agrees(k) }

// shows notes that a batch was delivered.
func (h *heard) shows(b *msg.Batch) {
	if h.isHead(b.Version, b.ServerTimestamp) {
		h.head = 0
	}
}

// agrees reports whether the newest batch the leader's list named is known: a
// node that lags may show one of an earlier life with that version, or above.
func (h *heard) agrees(k *known) bool {
	return h.head == 0 || h.isHead(k.cursor.Version, k.cursor.Anchor.ServerTimestamp)
}

// isHead compares times, for the version listed of a recreated aggregate may be
// one of its earlier lives.
func (h *heard) isHead(version, at uint64) bool {
	if h.headTime != 0 {
		return at == h.headTime
	}
	return version == h.head
}

// expectation is what notifications have told and no read has shown.
type expectation struct {
	version    uint64
	gone, born bool // deleted, created
	// deletedAgain: the life that begins may have been deleted, too.
	deletedAgain bool
	// after is the version written after the delete, as far as can be told.
	after       uint64
	wrote, went uint64 // the frames of the last write and of the last delete
	// rechecks counts the looks at what did not show, rechecksLeft how often more is
	// to be looked at than what is named here: the life that began, or a floor.
	rechecks, rechecksLeft int
	floor                  uint64 // heard of
}

// rechecksOfLife is how often what began is looked at again: after the longest two
// of the waits of doubts, when the node shows what it notified. Before that it may show
// the old and the new by turns, and what was right would seem to be wrong.
const rechecksOfLife = 2

// notified takes in a notification of a frame. A frame does not tell whether a
// delete came before or after the rest of it.
func (x *expectation) notified(n *msg.Notification, frame uint64) {
	switch n.Operation {
	case msg.OpWrite:
		x.version, x.wrote = max(x.version, n.To.Or(0)), frame
		if x.gone {
			x.after = max(x.after, n.To.Or(0))
		}
	case msg.OpDelete:
		x.deletedAgain = x.deletedAgain || x.gone || x.born
		x.gone, x.went = true, frame
		if x.wrote == frame {
			x.after = x.version
		} else {
			x.after = 0
		}
	case msg.OpCreate:
		x.deletedAgain = x.deletedAgain || x.gone && x.went == frame
		x.born = true
	case msg.OpTrimStart:
		x.floor = max(x.floor, n.KeepFrom.Or(0))
		return
	default:
		return
	}
	x.rechecks = 0
}

// passes reports whether something was heard of that takes an unreadable batch away.
func (x *expectation) passes(unreadable uint64) bool {
	if x.floor > unreadable {
		x.floor, x.rechecksLeft = 0, rechecksOfLife
	}
	return x.gone || x.born || x.rechecksLeft > 0
}

// onLifeEnded takes the end of a life for what was to be shown.
func (x *expectation) onLifeEnded() {
	x.gone, x.deletedAgain, x.version, x.after = false, false, x.after, 0
}

// onLifeStarted takes the beginning of another life for it.
func (x *expectation) onLifeStarted() { x.gone, x.deletedAgain, x.born = x.deletedAgain, false, false }

// onBatchAfterDelete takes what is shown behind the end of a life, announced or only
// heard of, for the beginning of another one. The life shown may still be the one
// that ended, with more of it than was delivered, so it is looked at again until the
// node must show what it has notified.
func (x *expectation) onBatchAfterDelete(announced bool) {
	if x.gone || announced && (x.born || x.version > 0) {
		x.rechecksLeft = rechecksOfLife
	}
	x.onLifeStarted()
}

// shownBy reports whether a cursor shows what was heard of. Behind a Deleted any
// write is one of another life, whatever its version.
func (x *expectation) shownBy(k *known) bool {
	c := &k.cursor
	return !x.gone && !x.born && x.version <= c.Version && (x.version == 0 || !c.Deleted)
}

// ofLife reports whether the beginning or the end of a life may not show yet.
func (x *expectation) ofLife() bool { return x.gone || x.born || x.rechecksLeft > 0 }
