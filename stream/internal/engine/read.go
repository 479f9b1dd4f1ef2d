package engine

import "github.com/celeriant/celeriant-go/msg"

// stage is what a read is for.
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
	// begin reads the batch behind which a lane begins that starts now.
	begin
	// probe asks whether the node answers for this aggregate at all.
	probe
)

// read is a pass: the reads from the cursor up to what was heard of.
type read struct {
	// begun: what was heard when the pass began is being read.
	begun bool
	stage stage
	// from and to are what the read under way asks for, epoch is the shard's when it
	// was issued, not counting confirm and probe: they belong to the read before.
	from  uint64
	to    msg.Opt[uint64]
	epoch uint64
	// leader: the answer must be the leader's word. watched: the last answer was
	// given by the node watched.
	leader, watched bool
	// window is how many versions behind the cursor the next read asks for; up to
	// scannedTo nothing follows the cursor.
	window, scannedTo uint64
	// openEnd asks for a read without upper bound: after version 1 a fresh life
	// may jump by any number, and if nobody named a version only an open end
	// shows whether something follows. searchUp: such a read was not answered;
	// what follows is looked for upwards in bounded steps.
	openEnd, searchUp bool
	// restart asks to begin a new life from its start, whatever the cursor.
	restart bool
	// otherLife: what is read is not the life that ended. continued: something was
	// seen to follow what was delivered of that.
	otherLife, continued bool
	// skipFrom begins the next skip; held is its page until it is confirmed.
	skipFrom uint64
	held     *heldPage
	// Of a read at the floor, which is to show the batch there: lost is the first of the
	// versions to be announced as lost, 0 for none; resumes tells that the anchor at the
	// cursor may be that batch's, for a Truncated ended here.
	lost    uint64
	resumes bool
	empty   int // pages in a row that held nothing and named another one
}

// heldPage is a page read behind the cursor, not yet delivered.
type heldPage struct {
	batches []msg.Batch
	next    msg.Opt[uint64]
	to      msg.Opt[uint64]
}

// next is the next pass of the lane, which asks for as many versions as this one.
func (r *read) next() read { return read{window: r.window} }

// anew is the pass begun once more at the cursor.
func (r *read) anew() read {
	return read{
		begun: true, leader: r.leader, watched: r.watched, window: r.window, epoch: r.epoch, restart: r.restart,
		openEnd: r.openEnd, searchUp: r.searchUp, otherLife: r.otherLife, continued: r.continued,
	}
}

// fromLifeStart is the pass begun at the start of the present life.
func (r *read) fromLifeStart() read {
	next := r.anew()
	next.restart, next.openEnd, next.searchUp = true, false, false
	return next
}

// behindFloor is the pass gone on with at the floor.
func (r *read) behindFloor(floor uint64) read {
	return read{begun: true, leader: r.leader, watched: r.watched, window: r.window, epoch: r.epoch, stage: skip, skipFrom: floor}
}

// at is the same pass in another stage.
func (r read) at(s stage) read {
	r.stage = s
	return r
}

// aim sets the range that the stage calls for.
func (r *read) aim(k *known, probed uint64, continueOnly bool) {
	v := k.cursor.Version
	nothing := func() { r.from, r.to = 1, msg.Some(uint64(0)) }
	switch r.stage {
	case resume:
		// Inclusive from the cursor, so that the batch there can be compared, or from
		// the start.
		r.from = v
		if r.fromStart(k, continueOnly) {
			r.from = 1
			if !k.anchored() || r.restart || k.cursor.Deleted {
				v = 0
			}
		}
		r.reach(v)
	case first:
		r.from, r.to = 1, msg.Some(uint64(1))
	case succeed:
		r.from = v
		r.reach(v)
	case skip:
		r.from = r.skipFrom
		r.reach(r.skipFrom - 1)
	case confirm:
		r.from, r.to = v, msg.Some(v)
		if !k.anchored() {
			nothing()
		}
	case probe:
		r.from, r.to = v, msg.Some(v)
		if !k.anchored() || !r.compares(k, continueOnly) || probed <= v {
			nothing()
		}
	}
}

// reach sets the upper bound, a window behind what is known to hold nothing.
func (r *read) reach(behind uint64) {
	r.to = msg.Some(saturate(max(behind, r.scannedTo), r.window))
	if r.openEnd {
		r.to = msg.None[uint64]()
	}
}

// fromStart reports whether the aggregate is read from the beginning of its present
// life: nothing was delivered of it yet, or only version 1, below which no read
// from it could stop.
func (r *read) fromStart(k *known, continueOnly bool) bool {
	switch {
	case r.restart || k.cursor.Version <= 1:
		return true
	case k.cursor.Deleted:
		return !continueOnly || !k.anchored()
	}
	return false
}

// compares reports whether the batch at the cursor is to be found again: not
// when the cursor's life is over, unless a continuation is to be continued.
func (r *read) compares(k *known, continueOnly bool) bool {
	if r.restart || k.cursor.Version == 0 {
		return false
	}
	return !k.cursor.Deleted || (continueOnly && k.anchored())
}

// single returns the one version asked for beyond the cursor and beyond what was
// just seen to hold nothing.
func (r *read) single(k *known) (uint64, bool) {
	if r.stage == first {
		return 1, true
	}
	low := max(r.from, r.scannedTo+1)
	if !r.to.Set || low != r.to.Value {
		return 0, false
	}
	return low, r.stage == skip || k.cursor.Version == 0 || k.cursor.Deleted || r.restart
}

// saturate adds without wrapping.
func saturate(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}
