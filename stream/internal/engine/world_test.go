package engine_test

import (
	"errors"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// writer changes the world, one group of operations after another, and breaks
// things in between.
func (s *sim) writer(left int) {
	if left == 0 {
		s.calm = true
		s.wishNothing()
		s.note("calm")
		return
	}
	pause := s.within(time.Duration(s.set.Pause) * time.Millisecond)
	if s.rng.IntN(40) == 0 {
		pause = time.Duration(s.rng.IntN(20)) * time.Second
	}
	s.after(pause, func() {
		s.commit(1 + s.rng.IntN(s.set.Group))
		s.disturb()
		s.writer(left - 1)
	})
}

// commit makes a group of operations readable in one step.
func (s *sim) commit(n int) {
	var group []record
	key := s.keys[s.rng.IntN(len(s.keys))]
	for range n {
		if s.rng.IntN(2) == 0 {
			key = s.keys[s.rng.IntN(len(s.keys))]
		}
		if r, ok := s.operation(key); ok {
			s.note("commit %d: %s %v, %s", r.seq, name(key), r.op, describeRecord(r))
			group = append(group, r)
		}
	}
	s.publish(group)
}

func (s *sim) operation(key msg.Key) (record, bool) {
	f := s.truth.facts[key]
	switch n := s.rng.IntN(100); {
	case f != nil && n < s.set.Removals:
		return s.truth.remove(key, s.rng.IntN(8) > 0, s.rng.IntN(2) == 0)
	case f != nil && n < s.set.Removals+s.set.Trims:
		life := f.log[f.start:]
		keepFrom := life[s.rng.IntN(len(life))].version()
		if s.rng.IntN(5) == 0 {
			keepFrom = 1 + uint64(s.rng.Int64N(int64(keepFrom))) // perhaps in a hole
		}
		return s.truth.trim(key, keepFrom)
	}
	size := s.rng.IntN(s.set.BatchBytes)
	if s.set.Oversize > 0 && s.rng.IntN(100) < s.set.Oversize {
		size = int(s.set.Accepts) + s.rng.IntN(500)
	}
	return s.truth.write(key, size, uint64(s.rng.IntN(2)))
}

// disturb cuts links, restarts the node and kills the process.
func (s *sim) disturb() {
	for _, w := range slices.Clone(s.open) {
		if s.chance(s.set.Cuts) {
			if s.rng.IntN(3) == 0 {
				s.seen["link went silent"]++
				w.mute = true
			} else {
				s.seen["link lost"]++
				s.cut(w)
			}
		}
	}
	if s.chance(s.set.Restarts) {
		s.restart(s.nodes[s.rng.IntN(len(s.nodes))])
	}
	if s.chance(s.set.Elections) {
		s.elect()
	}
	if s.chance(s.set.Freezes) {
		s.freeze(s.nodes[s.rng.IntN(len(s.nodes))])
	}
	s.wish()
	if s.chance(s.set.Kills) {
		s.seen["process killed"]++
		for _, w := range s.open {
			w.gone, w.ended = true, true
		}
		s.open = nil
		s.boot()
	}
}

func (s *sim) cutShard(shard uint64) {
	for _, w := range slices.Clone(s.open) {
		if w.link.Shard == shard {
			s.cut(w)
		}
	}
}

// execute carries out one command, some time later.
func (s *sim) execute(c *engine.Command) {
	if s.log != nil {
		s.note("-> %s", render(c))
	}
	switch c.Kind {
	case engine.Discover:
		s.discover()
	case engine.Open:
		s.openLink(attempt{c.Link, c.Epoch}, c.Follower)
	case engine.Close:
		s.closeLink(attempt{c.Link, c.Epoch})
	case engine.List:
		s.list(*c)
	case engine.Load:
		s.load(c.ID, c.Keys)
	case engine.Read:
		if s.eng.Purpose(c.ID) == "none" {
			s.look(*c)
			return
		}
		s.read(*c)
	case engine.CheckLeader:
		s.checkLeader(c.Node, c.Leader)
	case engine.Deliver:
		s.deliver(c)
	case engine.SetState:
		if waits := errors.Is(c.Err, engine.ErrUncommitted); waits != s.waits {
			s.waits, s.released = waits, s.now
		}
		s.oracle.state(c.Phase)
	case engine.Stop:
		s.failf("the subscription ended: %v", c.Err)
	}
}

func unavailable() engine.Failure { return engine.Failure{Kind: engine.Unavailable, Err: errNode} }

func (s *sim) discover() {
	if s.chance(s.set.Faults) || s.down(s.leader) {
		s.seen["discovery failed"]++
		s.later(s.within(time.Second), func() { s.eng.DiscoverFailed(s.now, unavailable()) })
		return
	}
	s.later(s.within(time.Second), func() { s.eng.ShardsKnown(s.now, uint64(s.set.Shards)) })
}

// list asks the leader, whichever node is watched. The page is computed at one
// time and arrives at another.
func (s *sim) list(c engine.Command) {
	if s.listing[c.Shard] == c.Epoch {
		s.failf("two list requests of shard %d under way", c.Shard)
	}
	s.listing[c.Shard] = c.Epoch
	run, m := s.run, s.believed()
	if c.Node != "" {
		m = s.nodeNamed(c.Node)
	}
	failed := func(f engine.Failure) {
		s.seen["list failed"]++
		s.answer(run, func() {
			s.listed(c.Shard, c.Epoch)
			s.eng.ListFailed(s.now, c.Shard, c.Epoch, f)
		})
	}
	s.after(s.within(time.Second), func() {
		if s.chance(s.set.Faults) || s.down(m) {
			failed(unavailable())
			return
		}
		items, next := m.list(c.Shard, c.Cursor)
		s.note("list of shard %d computed: %d items, next %v", c.Shard, len(items), next)
		s.leaderStill(m, func(leads, ok bool) {
			switch {
			case !ok:
				failed(unavailable())
			case !leads:
				s.seen["list of a deposed leader"]++
				failed(engine.Failure{Kind: engine.Deposed, Err: errNode})
			default:
				s.answer(run, func() {
					s.listed(c.Shard, c.Epoch)
					s.eng.Listed(s.now, c.Shard, c.Epoch, m.name, items, next)
				})
			}
		})
	})
}

func (s *sim) listed(shard, epoch uint64) {
	if s.listing[shard] == epoch {
		delete(s.listing, shard)
	} else {
		s.seen["stale list page"]++
	}
}

// answer feeds the engine after a while, unless the process has ended.
func (s *sim) answer(run int, feed func()) {
	s.after(s.within(time.Second), func() {
		if run == s.run {
			s.input(feed)
		}
	})
}

func (s *sim) load(id uint64, keys []msg.Key) {
	run := s.run
	s.after(s.within(500*time.Millisecond), func() {
		if s.chance(s.set.Faults) {
			s.seen["look-up failed"]++
			s.answer(run, func() { s.eng.LoadFailed(s.now, id, unavailable()) })
			return
		}
		cursors := make([]checkpoint.Cursor, len(keys))
		for i, key := range keys {
			cursors[i] = s.consumer.store[key]
		}
		s.answer(run, func() {
			for i, key := range keys {
				if cursors[i] != s.consumer.store[key] {
					s.seen["stale look-up"]++
				}
			}
			s.eng.Loaded(s.now, id, cursors)
		})
	})
}

func (s *sim) read(c engine.Command) {
	for id, key := range s.reading {
		if key != c.Key || s.dropped[id] {
			continue
		}
		s.failf("two reads of %d under way", numberOf(c.Key))
	}
	s.reading[c.ID] = c.Key
	if len(s.reading) > s.set.Readers {
		s.failf("%d reads under way, more than %d", len(s.reading), s.set.Readers)
	}
	s.readAt = s.now
	purpose := s.eng.Purpose(c.ID)
	s.seen["read: "+purpose]++
	if c.Leader {
		s.seen["read: at the leader"]++
	}
	run, m := s.run, s.believed()
	if c.Node != "" && !c.Leader {
		m = s.nodeNamed(c.Node)
	}
	s.after(s.within(300*time.Millisecond), func() { s.serve(run, m, c) })
}

// serve executes a read at a node and sends the answer back, if the leader's
// word was wanted after it has been asked whether it leads.
func (s *sim) serve(run int, m *member, c engine.Command) {
	seq := m.node.applied
	page, failure, ok := m.read(c.Key, c.From, c.To)
	page.Node, failure.Node, failure.Err = m.name, m.name, errNode
	if s.chance(s.set.Faults) || s.down(m) {
		ok, failure = false, unavailable()
		s.seen["read failed"]++
		if s.rng.IntN(3) == 0 {
			failure.Kind = engine.Silent
			s.seen["read unanswered"]++
			s.oracle.silence(c.Key)
		} else if c.ID%2 == 0 {
			failure.Kind = engine.Refused
			s.seen["read refused"]++
		}
	}
	send := func() {
		delay := s.within(time.Second)
		if !ok && failure.Kind == engine.Silent {
			delay = 2 * time.Second
		}
		s.after(delay, func() {
			if run == s.run {
				s.receive(c, seq, page, failure, ok)
			}
		})
	}
	if !c.Leader || !ok && (failure.Kind == engine.Silent || failure.Kind == engine.Unavailable || failure.Kind == engine.TooLarge) {
		send()
		return
	}
	s.leaderStill(m, func(leads, known bool) {
		page.Authoritative, failure.Authoritative = leads, leads
		if ok && !known {
			ok, failure = false, unavailable()
		} else if ok && !leads {
			s.seen["read of a deposed leader"]++
			ok, failure = false, engine.Failure{Kind: engine.Deposed, Err: errNode}
		}
		send()
	})
}

func (s *sim) receive(c engine.Command, seq uint64, page engine.Page, failure engine.Failure, ok bool) {
	delete(s.reading, c.ID)
	delete(s.dropped, c.ID)
	s.oracle.readSeq = seq
	s.input(func() {
		if ok {
			s.note("page for %s, read %d: %s", name(c.Key), c.ID, describePage(&page))
			s.eng.PageRead(s.now, c.ID, page)
		} else {
			s.note("read %s failed (%d): kind %d minimum %d", name(c.Key), c.ID, failure.Kind, failure.Minimum)
			s.eng.ReadFailed(s.now, c.ID, failure)
		}
	})
}
