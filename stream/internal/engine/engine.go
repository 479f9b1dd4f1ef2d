package engine

import (
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Engine decides for one subscription. An Engine is not safe for concurrent
// use: one goroutine owns it. Every input takes the present time, which must
// not go backwards; Commands returns what the inputs so far ask for.
type Engine struct {
	opts     Options
	commands []Command
	stopped  bool

	discovery pace
	finding   bool
	// reconnect and dropped pace the attempts while no watch stands.
	reconnect, dropped pace
	shards             []*shard
	explicit           map[msg.Key]*member

	// Links that are acknowledged, by node, that are being opened, and that are to be
	// opened as soon as fewer are; all of them.
	acked          map[string]int
	opening, links int
	toOpen         queue[slot]
	// The shards of which something happened in this step, or that wait for room.
	stirred          []*shard
	toList, toRelist queue[*shard]
	shardCounts      shardCounts

	lanes        map[msg.Key]*lane
	unloaded     queue[*lane]
	lanesLoading int
	ready        queue[*lane]
	// later is what waits for time; waiting counts the lanes in it.
	later   timers
	waiting int
	// catching counts the lanes CaughtUp waits for.
	catching int
	counts   counts
	aside    map[msg.Key]struct{} // by the consumer

	starter starter
	// owned are the partitions that are followed, where there are any.
	owned  map[uint32]bool
	recent recent
	// Used again: lanes that were forgotten, and a look-up that was answered.
	free     []*lane
	answered *load

	nextID   uint64
	reads    map[uint64]*lane
	checks   map[uint64]*shard // reads under way that look for what a follower lacks
	loads    map[uint64]*load
	loadPace pace
	readPace pace
	// nodeAway and leaderAway are what keeps stalled lanes, which look again at once
	// when that is over. refusals counts the lanes refused in a row.
	nodeAway, leaderAway outage
	stalled              map[*lane]struct{}
	refusals             int

	heardAt time.Time // when something was heard of last
	frames  uint64    // taken in
	// uncommitted counts the lanes of which something is delivered and not committed;
	// brimful: they are as many as may be.
	uncommitted int
	brimful     bool
	buffered    int64
	reserved    int64
	average     int64 // smoothed bytes of a batch

	// Scratch.
	pages   pages
	changes []Change

	probeAt time.Time
	hidden  bool     // no node tells whether it leads
	nodes   []string // scratch of probeNodes

	phase Phase
	stats Stats
}

// Stats counts what the engine did and holds.
type Stats struct {
	Shards, Subscribed, Dirty, Parked    int
	Held                                 int
	Buffered                             int64
	Reconnects                           uint64
	Notifications, Reads, Lists, Batches uint64
	Untrusted, Moves                     uint64
	Lag                                  time.Duration
	// Behind is how many versions were heard of and not delivered, Listing how
	// many shards are being listed, Listed how many aggregates their lists have
	// shown so far.
	Behind          uint64
	Listing, Listed int
}

// member is what is known of one explicit aggregate.
type member struct {
	home   uint64 // its shard, noShard while unknown
	listed bool   // seen by the list of that shard under way
}

// New returns an engine that has done nothing yet.
func New(opts Options) *Engine {
	if opts.NewReconnect == nil {
		opts.NewReconnect = opts.NewBackoff
	}
	e := &Engine{
		opts:    opts,
		lanes:   make(map[msg.Key]*lane),
		reads:   make(map[uint64]*lane),
		checks:  make(map[uint64]*shard),
		loads:   make(map[uint64]*load),
		average: 1024,
		acked:   make(map[string]int),

		shardCounts: shardCounts{nodes: make(map[string]*watchedNode)},
		stalled:     make(map[*lane]struct{}),
		recent:      recent{size: opts.Recent},
		starter:     starter{before: opts.Started},
	}
	if !opts.FromNow {
		e.starter.state = made
	}
	e.setExplicit()
	return e
}

// setExplicit notes the members of a scope of single aggregates, and keeps what
// is known of them.
func (e *Engine) setExplicit() {
	known := e.explicit
	e.explicit = nil
	if e.opts.Explicit == nil {
		return
	}
	e.explicit = make(map[msg.Key]*member, len(e.opts.Explicit))
	for _, key := range e.opts.Explicit {
		m := known[key]
		if m == nil {
			m = &member{home: noShard}
		}
		e.explicit[key] = m
	}
}

// Commands returns what is to be done and forgets it. The slice is valid until
// the next input.
func (e *Engine) Commands() []Command {
	c := e.commands
	e.commands = e.commands[len(e.commands):]
	if cap(e.commands) == 0 {
		e.commands = c[:0:0]
	}
	return c
}

// keptCommands is the room for commands that is kept: a step at rest has few.
const keptCommands = 4

// Recycle gives back the slice Commands returned once all of it is executed, and
// the changes in it, so that the next step needs no new ones.
func (e *Engine) Recycle(c []Command) {
	for i := range c {
		if changes := c[i].Changes; cap(changes) > cap(e.changes) && cap(changes) <= lookup {
			clear(changes) // batches are the consumer's, and their memory
			e.changes = changes
		}
	}
	clear(c)
	if len(e.commands) > 0 {
		return
	}
	if e.commands = c[:0]; cap(c) > keptCommands {
		e.commands = nil
	}
}

// Start begins: the number of shards is asked for.
func (e *Engine) Start(now time.Time) {
	e.emit(Command{Kind: SetState, Phase: Connecting})
	e.discover(now)
}

// Tick lets time pass: waits that are over end.
func (e *Engine) Tick(now time.Time) {
	e.discover(now)
	for t := e.later.due(now); t != nil; t = e.later.due(now) {
		if t.lane != nil {
			e.waiting--
			e.enqueue(t.lane)
		} else {
			e.tickShard(now, t.shard)
		}
	}
	if e.disconnected() {
		e.tickReconnect(now)
	}
	e.probeNodes(now)
	e.recent.tick(now)
	e.flow(now)
}

// NextWake returns when Tick is due; false when nothing waits for time.
func (e *Engine) NextWake(now time.Time) (time.Time, bool) {
	var w wake
	w.consider(e.later.next())
	e.wakeReconnect(&w)
	if e.shards == nil && !e.finding {
		w.consider(e.discovery.until)
	}
	if e.opts.Probe > 0 && e.shards != nil {
		w.consider(e.probeAt)
	}
	if e.ready.len() > 0 {
		w.later(now, e.readPace.until)
	}
	if e.unloaded.len() > 0 {
		w.later(now, e.loadPace.until)
	}
	return w.at, !w.at.IsZero()
}

// Consumed says that the consumer took payload bytes off the buffer.
func (e *Engine) Consumed(now time.Time, bytes int64) {
	e.buffered -= bytes
	e.flow(now)
}

// Committed says that cursors are stored.
func (e *Engine) Committed(now time.Time, entries []checkpoint.Entry) {
	for i := range entries {
		l := e.lanes[entries[i].Key]
		if l == nil {
			// Of a member that left, joined again and rests: what is held is older.
			e.recent.take(entries[i].Key)
			continue
		}
		e.touch(l)
		l.known.committed = latest(l.known.committed, entries[i].Cursor)
		e.recount(l)
		if !l.known.loaded {
			continue
		}
		l.waitsLess()
		if l.work.phase == adopting {
			e.stored(l)
			continue
		}
		e.forgetRested(l)
	}
	e.flow(now)
}

func (e *Engine) emit(c Command) {
	if !e.stopped {
		e.commands = append(e.commands, c)
	}
}

// fail ends the subscription.
func (e *Engine) fail(err error) {
	e.emit(Command{Kind: Stop, Err: err})
	e.stopped = true
}

func (e *Engine) id() uint64 {
	e.nextID++
	return e.nextID
}

// settle moves to phase and announces it, unless it is in it already.
func (e *Engine) settle(p Phase, shard uint64, cause error) {
	if e.phase == p && cause == nil {
		return
	}
	if e.phase == Live && p != Live {
		e.catchAll()
	}
	e.phase = p
	e.emit(Command{Kind: SetState, Phase: p, Shard: shard, Err: cause})
}

// checkLive delivers CaughtUp once everything found before it has been
// delivered.
func (e *Engine) checkLive() {
	if e.phase == Live || e.catching > 0 || len(e.shards) == 0 || e.shardCounts.current < len(e.shards) || e.starter.state != made {
		return
	}
	e.hand(Change{Kind: CaughtUp})
	e.settle(Live, 0, nil)
}
