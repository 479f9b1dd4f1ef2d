package engine_test

import (
	"slices"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// The consumer's requests: to hold, release and tell again an aggregate, and to gain
// and lose partitions.

func (s *sim) partitionOf(key msg.Key) uint32 { return uint32(numberOf(key) % s.set.Partitions) }

func (s *sim) partitionShards(p uint32, _ uint64) []uint64 {
	return []uint64{uint64(int(p) % s.set.Shards)}
}

// partitioned adds the partitions to the options.
func (s *sim) partitioned(o engine.Options) engine.Options {
	if s.set.Partitions > 0 {
		o.Partition = s.partitionOf
		if s.set.Routed {
			o.PartitionShards = s.partitionShards
		}
	}
	return o
}

// partitions are all of them.
func (s *sim) partitions() []uint32 {
	var all []uint32
	for p := range s.set.Partitions {
		all = append(all, uint32(p))
	}
	return all
}

// follows reports whether changes of an aggregate may be delivered.
func (s *sim) follows(key msg.Key) bool {
	return s.members[key] && !s.held[key] && (s.set.Partitions == 0 || slices.Contains(s.owned, s.partitionOf(key)))
}

// watches reports whether a shard may hold aggregates that are followed.
func (s *sim) watches(shard uint64) bool {
	if s.set.Partitions == 0 || !s.set.Routed && len(s.owned) > 0 {
		return true
	}
	return slices.ContainsFunc(s.owned, func(p uint32) bool { return s.partitionShards(p, 0)[0] == shard })
}

// resume tells a new process what is owned and held.
func (s *sim) resume() {
	if s.set.Partitions > 0 {
		s.own(s.owned)
	}
	for _, key := range s.keys {
		if s.held[key] {
			s.input(func() { s.eng.Hold(s.now, []msg.Key{key}) })
		}
	}
}

// wish holds, releases, tells once more, gains and loses.
func (s *sim) wish() {
	key := s.keys[0]
	if s.set.Holds+s.set.Redos > 0 {
		key = s.keys[s.rng.IntN(len(s.keys))]
	}
	switch {
	case s.chance(s.set.Holds):
		s.toggle(key)
	case s.chance(s.set.Redos):
		s.redo(key)
	case s.chance(s.set.Moves):
		s.seen["partitions moved"]++
		s.own(slices.DeleteFunc(s.partitions(), func(uint32) bool { return s.rng.IntN(2) == 0 }))
	}
}

func (s *sim) toggle(key msg.Key) {
	if s.held[key] {
		s.release(key)
		return
	}
	if !s.follows(key) {
		return
	}
	s.seen["held"]++
	s.note("hold %s", name(key))
	s.held[key] = true
	s.drop(key)
	s.input(func() { s.eng.Hold(s.now, []msg.Key{key}) })
}

func (s *sim) release(key msg.Key) {
	s.note("release %s", name(key))
	s.held[key] = false
	s.input(func() { s.eng.Release(s.now, []msg.Key{key}) })
}

func (s *sim) redo(key msg.Key) {
	if v := s.oracle.run[key]; !s.follows(key) || v.last == nil || v.cursor.Deleted {
		return
	}
	s.seen["told once more"]++
	s.note("redo %s", name(key))
	s.oracle.redo[key] = true
	s.input(func() { s.eng.Redo(s.now, key) })
}

// own gains and loses partitions; what is buffered of those that left is dropped.
func (s *sim) own(partitions []uint32) {
	s.note("own %v", partitions)
	s.owned = partitions
	for _, key := range s.keys {
		if !slices.Contains(partitions, s.partitionOf(key)) {
			s.drop(key)
			delete(s.oracle.redo, key)
			delete(s.held, key) // gained again, it is held no more
		}
	}
	s.input(func() { s.eng.SetOwned(s.now, partitions) })
}

// drop forgets what was delivered of an aggregate and is not stored.
func (s *sim) drop(key msg.Key) {
	s.oracle.forget(key)
	for id, of := range s.reading {
		if of == key {
			s.dropped[id] = true
		}
	}
	of := func(h handled) bool { return h.key == key }
	for i := range s.consumer.box {
		s.consumer.box[i].changes = slices.DeleteFunc(s.consumer.box[i].changes, of)
	}
	s.consumer.pending = slices.DeleteFunc(s.consumer.pending, of)
}

// wishNothing releases and gains everything.
func (s *sim) wishNothing() {
	for _, key := range s.keys {
		if s.held[key] {
			s.release(key)
		}
	}
	if s.set.Partitions > 0 {
		s.own(s.partitions())
	}
}
