package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

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

// stage is what the lane's read is for.
type stage uint8

const (
	// resume reads from the cursor, inclusive, or from the start.
	resume stage = iota
	// first reads exactly version 1: its last batch begins the current life.
	first
	// skip reads behind the cursor without including it; held until confirmed.
	skip
	// confirm proves that the held page continues the cursor's life.
	confirm
	// succeed looks behind the last batch of a life that ended whether it goes on.
	succeed
	// commence reads the batch behind which a lane begins that starts now.
	commence
	// probe asks whether the node answers for this aggregate at all.
	probe
)

// leaderOnly is a head that no node but the leader can be found to show.
const leaderOnly = ^uint64(0)

// noShard marks a lane whose shard is not known.
const noShard = ^uint64(0)

// heldPage is a page read behind the cursor, not yet delivered.
type heldPage struct {
	batches []msg.Batch
	next    msg.Opt[uint64]
	to      msg.Opt[uint64]
}

// lane is the state of one aggregate that has work to do or deliveries that
// are not committed. At most one read per lane is under way.
type lane struct {
	key   msg.Key
	shard uint64

	// What was heard since the last pass began.
	dirty  bool
	target uint64 // highest version heard of; 0 when none was named
	// force asks for a read whatever the target says: a create, a delete, or an
	// aggregate nobody named a version of.
	force bool
	// toEnd: of some change no version was named. What was named for others is not
	// the head, so reading goes on until nothing follows.
	toEnd bool
	// listedDeleted is the list's word, which beats any read.
	listedDeleted bool

	// Continuity: suspect tells of a create or delete since the cursor was last
	// verified, suspectRead of one since the read under way was issued, trimRead
	// of the highest floor heard of since then; confirm and probe belong to the
	// read before them. verified is the shard epoch in which the cursor was last known to be in
	// step with the node, 0 for none; readEpoch that of the read under way.
	suspect, suspectRead bool
	trimRead             uint64
	verified             uint64
	readEpoch            uint64
	// catching counts the lane among those CaughtUp waits for, until the cursor
	// reaches catchTarget or the pass ends.
	catching    bool
	catchTarget uint64

	// expects is what was heard of and not shown; doubting: waiting to look again.
	expects  expectation
	doubting bool

	commence commencing
	// redo: the consumer wants a Reset and the history once more. unheard: nothing
	// was heard since the lane, at rest until then, was put on hold.
	redo, unheard bool
	redoLife      uint64 // the life that the last Redo began
	// expelled: out of the scope, forgotten but for the queue that holds it.
	expelled bool

	loaded    bool
	cursor    checkpoint.Cursor // delivered
	committed checkpoint.Cursor // stored

	phase  phase
	stage  stage
	leader bool // the next read needs the leader's word
	// watched: the node watched gave the last answer.
	watched bool
	// head is the newest batch the leader's list named, headTime its time; 0 once a
	// batch like it was delivered, or the leader's word was had.
	head, headTime uint64
	// told is when the leader told of the target; zero when it did not.
	told time.Time
	from uint64
	to   msg.Opt[uint64]
	// window is how many versions behind the cursor the next read asks for;
	// emptyTo is the version up to which nothing follows the cursor.
	window  uint64
	emptyTo uint64
	// openEnd asks for a read without upper bound: after version 1 a fresh life
	// may jump by any number, and if nobody named a version only an open end
	// shows whether something follows.
	openEnd bool
	// beyond tells that such a read was not answered, so that something seems to
	// follow, and is to be looked for as if a version had been named.
	beyond bool
	// reserved are the bytes set aside for the read or the held page.
	reserved int64

	// succeeded: what is read is not the life that ended; continued: something was
	// seen to follow what was delivered of that.
	succeeded, continued bool
	// restart asks to begin a new life from its start, whatever the cursor.
	restart bool
	// skipFrom begins the next skip; held is its page until it is confirmed.
	skipFrom uint64
	held     heldPage
	// floor is the trim floor. Above the cursor it takes the anchor's place in
	// confirming that the life is still the same.
	floor uint64
	// bridged: a truncation was announced because nothing was heard of another
	// life. What is heard before the batches behind it are delivered still counts.
	bridged bool

	// silent counts how often probed, a single version, stayed unanswered.
	silent     int
	probed     uint64
	unreadable uint64 // announced as Unreadable; 0 for none
	retry      pace
	wakeAt     time.Time
}

// rested reports whether nothing would be lost by forgetting the lane.
func (l *lane) rested() bool {
	return l.phase == idle && !l.dirty && l.cursor.Compare(l.committed) == 0
}

// anchored reports whether the cursor stands at a batch that can be compared.
func (l *lane) anchored() bool {
	return l.cursor.Version > 0 && l.cursor.Anchor != checkpoint.Anchor{}
}

// void reports whether what was delivered is void, by a Deleted or a Reset, and
// nothing of another life was delivered since.
func (l *lane) void() bool {
	return l.cursor.Deleted || l.cursor.Life > 0 && l.cursor.Version == 0
}

// floored reports whether the floor has passed the cursor.
func (l *lane) floored() bool { return l.floor > l.cursor.Version }

// suspectOp notes a create or delete.
func (l *lane) suspectOp() { l.suspect, l.suspectRead, l.force = true, true, true }

// heard raises the target.
func (l *lane) heard(version uint64) {
	l.target = max(l.target, version)
}

// changed notes a change of which the version is not known, 0, or known.
func (l *lane) changed(version uint64) {
	l.heard(version)
	l.toEnd = l.toEnd || version == 0
}

// endUnknown reports whether the target may lie below the head.
func (l *lane) endUnknown() bool { return l.target == 0 || l.toEnd }

// short reports whether what was read does not reach what was heard of.
func (l *lane) short() bool { return l.target > l.cursor.Version || !l.agrees() }

// needsRead reports whether what was heard calls for a read.
func (l *lane) needsRead() bool {
	return l.force || l.cursor.Deleted || l.target > l.cursor.Version
}

// pending reports whether what was heard during the pass calls for another one.
func (l *lane) pending() bool { return l.dirty && (l.listedDeleted || l.needsRead()) }

// sees notes that a batch was delivered.
func (l *lane) sees(b *msg.Batch) {
	if l.isHead(b.Version, b.ServerTimestamp) {
		l.head = 0
	}
}

// agrees reports whether the newest batch the leader's list named is known: a
// node that lags may show one of an earlier life with that version, or above.
func (l *lane) agrees() bool {
	return l.head == 0 || l.isHead(l.cursor.Version, l.cursor.Anchor.ServerTimestamp)
}

// isHead compares times, for the version listed of a recreated aggregate may be
// one of its earlier lives.
func (l *lane) isHead(version, at uint64) bool {
	if l.headTime != 0 {
		return at == l.headTime
	}
	return version == l.head
}
