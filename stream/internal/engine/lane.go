package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// noShard marks a lane whose shard is not known.
const noShard = ^uint64(0)

// lane is the state of one aggregate that has work to do or deliveries that are
// not committed. A lane has four parts, each with one owner:
//
//   - work, where the lane stands: the scheduler's (schedule.go, load.go, later.go);
//   - heard, what notifications and lists told: that of fold.go and reconcile.go;
//   - known, what the node proved and the store holds: apply.go's;
//   - read, the pass under way: begun by schedule.go, moved on by apply.go.
//
// Judging an answer reads all four and writes none of them.
type lane struct {
	key   msg.Key
	shard uint64

	work  work
	heard heard
	known known
	read  read

	counted counted

	since  time.Time // when the oldest of what is not committed was written, or heard of
	origin *origin   // of a lane that has still to begin, see starter
}

// phase is where a lane stands.
type phase uint8

const (
	// idle: nothing to do but wait for commits or hints.
	idle phase = iota
	// unloaded: queued for a look-up of its cursor.
	unloaded
	// loading: the look-up is under way.
	loading
	// ready: queued for a read.
	ready
	// reading: a read is under way.
	reading
	// waiting: until a time.
	waiting
	// adopting: its first cursor is being stored.
	adopting
	// parked: its next batch cannot be read.
	parked
	// onHold: the consumer wants nothing of it until it is released.
	onHold
)

// work is where a lane stands. Fields are in the order that needs least memory: there may
// be 32,768 lanes of which something is not committed.
type work struct {
	phase phase
	// dirty: something was heard since the pass began.
	dirty bool
	// refused: a node answered its last read with a code.
	refused bool
	// doubting: it waits to look again at what was heard of and not shown.
	doubting bool
	// catching counts the lane among those CaughtUp waits for, until the cursor
	// reaches catchTarget or the pass ends.
	catching bool
	// uncommitted: it counts among the lanes with deliveries that are not committed.
	uncommitted bool
	// redo: the consumer wants a Reset and the history once more. unheard: nothing
	// was heard since the lane, at rest until then, was put on hold.
	redo, unheard bool
	// Of a held lane: pending tells that it waits for its consumer to try it again, aside
	// that the consumer does not handle it until somebody decides, placed that its committed
	// cursor is known.
	pending, aside, placed bool
	// expelled: forgotten but for the queue that holds it.
	expelled bool
	// silences counts how often version probed, alone, stayed unanswered.
	silences int32
	probed   uint64
	// again is the lane's place among what is looked at later, retry spaces its attempts
	// since one failed; nil before.
	again timer
	retry *pace
	// seen is when the batch at the cursor was shown last; zero if it was not.
	seen time.Time
	// absentSince is since when the leader shows nothing at the cursor; zero if it does.
	absentSince time.Time
	// reserved are the bytes set aside for the read or the held page.
	reserved    int64
	catchTarget uint64
}

// patience is how many silences of a single version count. Version 1 is read by
// itself again and again where several lives are readable, and so has more
// chances to meet a bad network.
func (w *work) patience() int32 {
	if w.probed == 1 {
		return 2 * silences
	}
	return silences
}

// unanswered begins to count the silences of another version.
func (w *work) unanswered(version uint64) {
	if w.probed != version {
		w.probed, w.silences = version, 0
	}
}

// rested reports whether nothing would be lost by forgetting the lane.
func (l *lane) rested() bool {
	return l.work.phase == idle && !l.work.dirty && l.known.cursor.Compare(l.known.committed) == 0
}

// wantsRead reports whether what was heard calls for a read.
func (l *lane) wantsRead() bool {
	c := &l.known.cursor
	return l.heard.force || c.Deleted || l.heard.target > c.Version
}

// pending reports whether what was heard during the pass calls for another one. A wish for
// the history may come behind the read that begins the pass, and ahead of its last one.
func (l *lane) pending() bool {
	return l.work.redo || l.work.dirty && (l.heard.listedDeleted || l.wantsRead())
}
