package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// oracle watches everything the engine delivers and compares it with the truth.
type oracle struct {
	sim   *sim
	set   settings
	truth *truth
	seen  coverage

	// run is what was delivered, done what was stored.
	run, done map[msg.Key]view
	phase     engine.Phase
	caughtUp  bool // delivered, and Live not announced yet
	subscribe map[engine.Link]subscription
	beginning map[attempt]uint64 // where the truth was
	// heardOf is the newest commit the engine was notified of.
	heardOf  map[msg.Key]uint64
	readSeq  uint64
	silences map[msg.Key]int
	parked   map[msg.Key]bool
	ticked   time.Time
	ticks    int
	largest  int64 // delivery
	redo     map[msg.Key]bool
	redone   map[msg.Key]uint64 // the life that the last Redo began
}

// subscription is when the node began to notify a link.
type subscription struct {
	epoch, seq uint64
	acked      bool
}

func newOracle(s *sim) *oracle {
	return &oracle{sim: s, set: s.set, truth: s.truth, seen: s.seen, done: make(map[msg.Key]view)}
}

// crash goes back to what was stored.
func (o *oracle) crash() {
	o.run = maps.Clone(o.done)
	for key, v := range o.run {
		v.unreadable = 0
		o.run[key] = v
	}
	o.phase, o.caughtUp = engine.Connecting, false
	o.subscribe, o.beginning = make(map[engine.Link]subscription), make(map[attempt]uint64)
	o.heardOf = make(map[msg.Key]uint64)
	o.silences = make(map[msg.Key]int)
	o.parked, o.redo, o.redone = make(map[msg.Key]bool), make(map[msg.Key]bool), make(map[msg.Key]uint64)
}

// forget goes back to what was stored of an aggregate.
func (o *oracle) forget(key msg.Key) {
	v := o.done[key]
	v.unreadable = 0
	o.run[key] = v
	if o.redone[key] > v.cursor.Life {
		o.redo[key] = true // its Reset was dropped
	}
	delete(o.redone, key)
	if v.last == nil || v.cursor.Deleted {
		delete(o.redo, key) // there is nothing to reset
	}
}

// silence notes a read that stayed unanswered although it could be answered.
func (o *oracle) silence(key msg.Key) { o.silences[key]++ }

// registered notes that a node has begun to notify: what the leader
// shows by now is to be found by listing.
func (o *oracle) registered(a attempt) { o.beginning[a] = o.shown() }

// shown is up to where the leader shows what is committed.
func (o *oracle) shown() uint64 { return o.sim.leader.node.applied }

func (o *oracle) acked(a attempt) {
	o.subscribe[a.link] = subscription{epoch: a.epoch, seq: o.beginning[a], acked: true}
}

func (o *oracle) lost(a attempt) {
	if o.subscribe[a.link].epoch == a.epoch {
		delete(o.subscribe, a.link)
	}
}

// told notes which commits a frame tells of.
func (o *oracle) told(frame []heard) {
	for _, h := range frame {
		o.heardOf[h.Key] = max(o.heardOf[h.Key], h.seq)
		if h.Operation == msg.OpTrimStart {
			o.seen["trim notified"]++
		}
	}
}

func (o *oracle) state(p engine.Phase) {
	if p == o.phase {
		return // another cause
	}
	if (p == engine.Live) != o.caughtUp {
		o.sim.failf("phase %d after caught up %v: one CaughtUp belongs before each Live", p, o.caughtUp)
	}
	o.caughtUp = false
	o.phase = p
}

// buffered checks the bound of what was delivered and not taken. A read sets its
// share of the buffer aside, so only pages larger than that exceed it: each
// reader's by as much, for the size of batches is a guess before they are read.
func (o *oracle) buffered(bytes, page int64) {
	reset := engine.Change{Kind: engine.Reset}
	o.largest = max(o.largest, page+2*reset.Size()) // a read may bring a Reset and a Truncated, too
	readers := int64(o.set.Readers)
	beyond := max(0, o.largest-o.set.Buffer/(2*readers))
	if bound := max(o.largest, o.set.Buffer+readers*beyond); bytes > bound {
		o.sim.failf("%d bytes delivered and not taken, more than %d: a buffer of %d, pages of up to %d", bytes, bound, o.set.Buffer, o.largest)
	}
	if bytes > o.set.Buffer {
		o.seen["beyond the buffer"]++
	}
	if bytes > o.set.Buffer/2 {
		o.seen["half a buffer"]++
	}
}

// delivered judges a change and returns what the consumer knows after it.
func (o *oracle) delivered(c *engine.Change) (after view, moves bool) {
	o.seen["change: "+kindName(c.Kind)]++
	if c.Kind == engine.CaughtUp {
		o.caught()
		return view{}, false
	}
	if !o.sim.follows(c.Key) {
		o.sim.failf("%d is not in the scope", numberOf(c.Key))
	}
	v := o.run[c.Key]
	before := v
	if problem := o.apply(&v, c); problem != "" {
		o.sim.failf("%s of %d, behind %v: %s", describeChange(c), numberOf(c.Key), before.cursor, problem)
	}
	o.run[c.Key] = v
	return v, c.Kind != engine.Unreadable
}

// caught checks G7: everything committed before the watches were registered
// has been delivered.
func (o *oracle) caught() {
	if o.phase == engine.Live || o.caughtUp {
		o.sim.failf("caught up twice")
	}
	o.caughtUp = true
	for shard := range o.set.Shards {
		for part := range o.set.Parts {
			if link := (engine.Link{Shard: uint64(shard), Part: part}); o.sim.watches(uint64(shard)) && !o.subscribe[link].acked {
				o.sim.failf("caught up without the link %v", link)
			}
		}
	}
	for _, key := range o.sim.keys {
		f, v := o.truth.facts[key], o.run[key]
		seq := o.subscribe[o.sim.linkOf(key)].seq
		if !o.sim.follows(key) || f == nil || f.turn() > seq || v.doubtful {
			continue
		}
		if problem := o.behind(f, &v, seq); problem != "" {
			o.sim.failf("caught up, but of %d %s (G7)", numberOf(key), problem)
		}
	}
}

// behind says what of the commits up to seq the consumer does not know of.
func (o *oracle) behind(f *fact, v *view, seq uint64) string {
	if f.deleted {
		if !v.cursor.IsZero() && !v.cursor.Deleted && v.last != nil && !o.set.Quirks {
			return fmt.Sprintf("the delete is missing at %v", v.cursor)
		}
		return ""
	}
	for _, e := range f.log[f.start:] {
		known := v.last != nil && v.last.life == e.life && v.last.pos >= e.pos && (!v.cursor.Deleted || o.set.ContinueOnly)
		if e.seq > seq || e.version() < f.floor || known || v.covers(e.version()) {
			continue
		}
		if v.unreadable > 0 && (v.unreadable <= e.version() || v.unreadable <= v.cursor.Version) {
			return ""
		}
		return fmt.Sprintf("version %d of commit %d is missing at %v", e.version(), e.seq, v.cursor)
	}
	return ""
}

// wronglyParked returns the shards of aggregates that were parked although they
// can be read.
func (o *oracle) wronglyParked() []uint64 {
	var shards []uint64
	for _, key := range o.sim.keys {
		if shard := o.sim.shardOf(key); o.parked[key] && !slices.Contains(shards, shard) {
			shards = append(shards, shard)
		}
	}
	return shards
}

// final checks G9 and that nothing is left over.
func (o *oracle) final() {
	s, stats := o.sim, o.sim.eng.Stats(o.sim.now)
	parked := 0
	for _, key := range s.keys {
		v := o.run[key]
		if o.redo[key] && v.last != nil && v.unreadable == 0 {
			s.failf("the history of %d was not delivered once more", numberOf(key))
		}
		if !s.follows(key) || v.doubtful {
			continue
		}
		if v.unreadable > 0 && o.blocked(key, v.unreadable) {
			parked++
			o.seen["parked at the end"]++
		}
		if problem := o.wrong(key, &v); problem != "" {
			s.failf("at the end, of %d: %s (G9)", numberOf(key), problem)
		}
		if s.consumer.store[key] != v.cursor {
			s.failf("the stored cursor of %d is %v, not %v", numberOf(key), s.consumer.store[key], v.cursor)
		}
	}
	switch {
	case o.phase != engine.Live:
		s.failf("phase %d at the end, not live", o.phase)
	case stats.Buffered != 0 || stats.Dirty != 0 || len(s.reading) > 0:
		s.failf("%d bytes buffered, %d lanes dirty, %d reads under way at rest", stats.Buffered, stats.Dirty, len(s.reading))
	case s.eng.Lanes() != stats.Parked:
		s.failf("%d lanes at rest, %d of them parked", s.eng.Lanes(), stats.Parked)
	}
}

// wrong compares what the consumer holds with what can be read.
func (o *oracle) wrong(key msg.Key, v *view) string {
	f := o.truth.facts[key]
	if f == nil {
		if !v.cursor.IsZero() {
			return fmt.Sprintf("it never existed, but stands at %v", v.cursor)
		}
		return ""
	}
	if f.deleted {
		if v.last != nil && !v.cursor.Deleted {
			return fmt.Sprintf("it is deleted, but stands at %v", v.cursor)
		}
		return ""
	}
	head := f.log[len(f.log)-1]
	if v.cursor.Deleted && v.unreadable == 0 && (!o.set.ContinueOnly || v.last != head) {
		return fmt.Sprintf("it is alive, but stands at %v", v.cursor)
	}
	if v.unreadable > 0 && v.unreadable <= v.cursor.Version {
		return "" // the batch at the cursor cannot be read: nothing tells lives apart
	}
	for _, e := range v.held {
		if e.life != f.life && !v.cursor.Deleted {
			return fmt.Sprintf("version %d of an earlier life is held", e.version())
		}
	}
	return o.behind(f, v, o.truth.seq)
}
