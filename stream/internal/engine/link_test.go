package engine_test

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// heard is a notification and the commit it tells of.
type heard struct {
	msg.Notification
	seq uint64
}

// watcher is the node's and the network's side of one link.
type watcher struct {
	attempt
	node     *member
	opened   time.Time
	run      int
	pending  []heard
	flushing bool
	lastSent time.Time
	arrival  time.Time // nothing arrives before what was sent before it
	mute     bool      // half open: nothing arrives any more, nobody notices
	gone     bool      // the node sends no more
	ended    bool      // the client takes no more
}

func (s *sim) openLink(a attempt, follower bool) {
	run := s.run
	s.after(s.within(500*time.Millisecond), func() {
		if run != s.run {
			return
		}
		m := s.believed()
		if follower {
			m = s.follower()
		}
		if s.chance(s.set.Faults) || s.down(m) || s.closed[a] {
			s.seen["watch refused"]++
			s.later(s.within(time.Second), func() { s.eng.Lost(s.now, a.link, a.epoch, unavailable()) })
			return
		}
		w := &watcher{attempt: a, node: m, opened: s.now, run: run, lastSent: s.now}
		s.open = append(s.open, w)
		s.oracle.registered(a)
		w.arrival = s.now.Add(s.within(time.Second))
		s.at(w.arrival, func() {
			if w.ended || w.run != s.run {
				return
			}
			if s.closed[a] {
				s.cut(w)
				return
			}
			s.links[a] = w
			moving := len(s.watching(a.link)) > 1
			s.input(func() { s.eng.Acked(s.now, a.link, a.epoch, m.name) })
			if s.links[a] == w {
				s.oracle.acked(a)
				if moving {
					s.seen["watch moved"]++
				}
			}
		})
		s.heartbeat(w)
	})
}

// watching returns the acknowledged watches of a link.
func (s *sim) watching(link engine.Link) []*watcher {
	var found []*watcher
	for _, w := range s.links {
		if w.link == link {
			found = append(found, w)
		}
	}
	return found
}

// closeLink drops a link as the client wishes. Frames on their way still arrive, too
// late.
func (s *sim) closeLink(a attempt) {
	w := s.links[a]
	if w == nil {
		s.seen["link closed before it was acknowledged"]++
		s.closed[a] = true
		return
	}
	silent := s.now.Sub(w.arrival) >= 15*time.Second || s.now.Sub(w.lastSent) >= 15*time.Second || w.mute
	switch {
	case s.set.Partitions > 0 && !s.watches(a.link.Shard):
		s.seen["link closed for want of a partition"]++
	case s.set.Followers:
		s.seen["link closed at a follower"]++
	case w.node != s.leader || s.now.Sub(w.node.deposed) < 10*time.Second: // it may lead again by now
		s.seen["link closed at a deposed node"]++
	case !silent:
		s.failf("link %v closed although frames came", a.link)
	}
	if silent {
		s.seen["link closed for silence"]++
	}
	w.mute = false
	delete(s.links, a)
	s.cut(w)
}

// cut ends a link: frames on their way may still arrive.
func (s *sim) cut(w *watcher) {
	if w.gone {
		return
	}
	w.gone = true
	s.open = slices.DeleteFunc(slices.Clone(s.open), func(o *watcher) bool { return o == w })
	s.after(s.within(time.Second), func() {
		if w.ended || w.run != s.run {
			return
		}
		w.ended = true
		delete(s.links, w.attempt)
		s.oracle.lost(w.attempt)
		s.input(func() { s.eng.Lost(s.now, w.link, w.epoch, unavailable()) })
	})
}

func (s *sim) heartbeat(w *watcher) {
	s.at(w.lastSent.Add(5*time.Second), func() {
		if w.gone || w.ended {
			return
		}
		if s.now.Sub(w.lastSent) >= 5*time.Second && len(w.pending) == 0 {
			s.send(w, nil)
		}
		s.heartbeat(w)
	})
}

// notify tells a node's watchers of a group it has come to show: creates, writes,
// deletes, trims, each merged as the node merges them.
func (s *sim) notify(m *member, group []record) {
	var creates, writes, deletes, trims []heard
	merge := func(list []heard, r record, n msg.Notification) []heard {
		n.Key = r.key
		if i := slices.IndexFunc(list, func(h heard) bool { return h.Key == r.key }); i >= 0 {
			list[i].seq = r.seq
			if n.To.Set {
				list[i].From = msg.Some(min(list[i].From.Value, n.From.Value))
				list[i].To = msg.Some(max(list[i].To.Value, n.To.Value))
			}
			return list
		}
		return append(list, heard{n, r.seq})
	}
	for _, r := range group {
		switch r.op {
		case msg.OpWrite:
			v := msg.Some(r.entry.version())
			if v.Value == 1 {
				creates = merge(creates, r, msg.Notification{Operation: msg.OpCreate})
			}
			writes = merge(writes, r, msg.Notification{Operation: msg.OpWrite, From: v, To: v})
		case msg.OpDelete:
			deletes = merge(deletes, r, msg.Notification{Operation: msg.OpDelete})
		case msg.OpTrimStart:
			trims = merge(trims, r, msg.Notification{Operation: msg.OpTrimStart, KeepFrom: msg.Some(r.keepFrom)})
		}
	}
	for _, class := range [][]heard{creates, writes, deletes, trims} {
		s.rng.Shuffle(len(class), func(i, j int) { class[i], class[j] = class[j], class[i] })
		for _, h := range class {
			for _, w := range s.open {
				if w.node == m && w.link == s.linkOf(h.Key) {
					s.enqueue(w, h)
				}
			}
		}
	}
}

// enqueue sends a notification at once, or when the latency window is over.
func (s *sim) enqueue(w *watcher, h heard) {
	if s.set.Latency == 0 || (len(w.pending) == 0 && s.now.Sub(w.lastSent) >= s.set.Latency) {
		s.send(w, []heard{h})
		return
	}
	i := slices.IndexFunc(w.pending, func(o heard) bool { return o.Key == h.Key && o.Operation == h.Operation })
	switch {
	case i < 0:
		w.pending = append(w.pending, h)
	case h.Operation == msg.OpWrite:
		s.seen["coalesced writes"]++
		old := &w.pending[i]
		old.From, old.To = msg.Some(min(old.From.Value, h.From.Value)), msg.Some(max(old.To.Value, h.To.Value))
		old.seq = h.seq
	default:
		w.pending[i] = h
	}
	if w.flushing {
		return
	}
	w.flushing = true
	s.at(w.lastSent.Add(s.set.Latency), func() {
		w.flushing = false
		frame := w.pending
		w.pending = nil
		s.rng.Shuffle(len(frame), func(i, j int) { frame[i], frame[j] = frame[j], frame[i] })
		s.send(w, frame)
	})
}

// send puts a frame on its way.
func (s *sim) send(w *watcher, frame []heard) {
	if w.gone || w.ended {
		return
	}
	w.lastSent = s.now
	if w.mute {
		return
	}
	at := s.now.Add(s.within(2 * time.Second))
	if at.Before(w.arrival) {
		at = w.arrival
	}
	w.arrival = at
	s.at(at, func() {
		if w.ended || w.run != s.run {
			return
		}
		if s.links[w.attempt] != w {
			s.seen["stale frame"]++
		} else {
			s.oracle.told(frame)
		}
		notifications := make([]msg.Notification, len(frame))
		for i, h := range frame {
			notifications[i] = h.Notification
		}
		if len(frame) > 0 {
			s.note("frame on %v: %s", w.link, describeFrame(frame))
		}
		s.input(func() { s.eng.Frame(s.now, w.link, w.epoch, notifications) })
	})
}
