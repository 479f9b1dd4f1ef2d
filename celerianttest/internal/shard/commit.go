package shard

import (
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// Commit makes the records up to a position readable, as one group, and
// returns what watchers hear of them (section 7.3): creates, writes, deletes,
// trims, one of each kind per aggregate; writes merge to one range, of several
// trims the first is told. A position that is committed already changes
// nothing; one beyond the tail means the tail.
func (s *Shard) Commit(upTo uint64) []msg.Notification {
	told := s.Announce(upTo)
	s.Show(upTo)
	return told
}

// Announce is Commit without the first half: what it commits is readable only
// when [Shard.Show] says so. With quirks a recreation ends the delete at once
// (section 9.5): until it is shown, the life that ended can be read.
func (s *Shard) Announce(upTo uint64) []msg.Notification {
	var group announcements
	for position := s.Committed() + 1; position <= min(upTo, s.Tail()); position++ {
		r := s.log[position-1]
		if s.options.Quirks {
			s.view.foresee(r)
		}
		group.add(r)
		s.undos[0] = nil
		s.undos = s.undos[1:]
	}
	if len(s.undos) == 0 {
		s.undos = nil
	}
	return group.list(s.options.Rand)
}

// Show makes committed records readable, up to a position.
func (s *Shard) Show(upTo uint64) {
	for s.shown < min(upTo, s.Committed()) {
		r := s.log[s.shown]
		s.shown++
		s.view.commit(r, s.shown, s.log)
		s.catalog.commit(r)
	}
}

// announcements gathers the notifications of one commit group by class.
type announcements struct {
	creates, writes, deletes, trims announced
}

// announced holds the notifications of one class, one per aggregate.
type announced struct {
	list []msg.Notification
	at   map[msg.Key]int // nil while the list is short enough to look through
}

// of returns the notification of an aggregate, first if there is none yet.
func (a *announced) of(key msg.Key, first msg.Notification) *msg.Notification {
	i := a.find(key)
	if i < 0 {
		i = len(a.list)
		first.Key = key
		a.list = append(a.list, first)
		a.index(key, i)
	}
	return &a.list[i]
}

const shortList = 8

func (a *announced) find(key msg.Key) int {
	if a.at == nil {
		return slices.IndexFunc(a.list, func(n msg.Notification) bool { return n.Key == key })
	}
	if i, known := a.at[key]; known {
		return i
	}
	return -1
}

func (a *announced) index(key msg.Key, i int) {
	switch {
	case a.at != nil:
		a.at[key] = i
	case len(a.list) > shortList:
		a.at = make(map[msg.Key]int)
		for j := range a.list {
			a.at[a.list[j].Key] = j
		}
	}
}

func (g *announcements) add(r *Record) {
	for i := range r.Writes {
		e := &r.Writes[i]
		version := e.Batch.Version
		if version == 1 {
			g.creates.of(e.Key, msg.Notification{Operation: msg.OpCreate})
		}
		n := g.writes.of(e.Key, msg.Notification{Operation: msg.OpWrite, From: msg.Some(version), To: msg.Some(version)})
		n.From.Value, n.To.Value = min(n.From.Value, version), max(n.To.Value, version)
	}
	for i := range r.Deletes {
		g.deletes.of(r.Deletes[i].Key, msg.Notification{Operation: msg.OpDelete})
	}
	if r.Kind == RecordTrim {
		g.trims.of(r.Trim.Key, msg.Notification{Operation: msg.OpTrimStart, KeepFrom: msg.Some(r.Trim.KeepFrom)})
	}
}

func (g *announcements) list(rand Shuffler) []msg.Notification {
	var all []msg.Notification
	for _, class := range []*announced{&g.creates, &g.writes, &g.deletes, &g.trims} {
		shuffle(rand, class.list)
		all = append(all, class.list...)
	}
	return all
}
