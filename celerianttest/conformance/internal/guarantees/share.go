package guarantees

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// The cases about subscriptions that share a source, or divide a
// scope.

// A subscription that stands on a watch is moved to wider ones while its
// aggregate is written to, and misses nothing.
func sharedGrowsWider(t *testing.T, w *world.World) {
	key := w.Key()
	s, shared := w.Shared(t)
	narrow := s.Open(t, stream.Aggregates(key), stream.Options{})
	world.Take(t, narrow, world.CaughtUp)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	var written []string
	writer.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			value := fmt.Sprint(n)
			if _, err := w.Pool.WriteEvents(t.Context(), key, []msg.Event{world.Event(1, value)}, w.Client, pool.WriteOptions{}); err != nil {
				t.Error(err)
				return
			}
			written = append(written, value)
		}
	})
	wide := s.Open(t, w.Types(), stream.Options{})
	early := world.Take(t, wide, world.CaughtUp)
	widest := s.Open(t, stream.Orgs(w.Org), stream.Options{})
	latest := world.Take(t, widest, world.CaughtUp)
	close(stop)
	writer.Wait()
	w.Write(t, key, "last")
	written = append(written, "last")
	world.WantTold(t, "the narrow one", world.Take(t, narrow, world.Showing("last")), written...)
	world.WantTold(t, "the wide one", append(early, world.Take(t, wide, world.Showing("last"))...), written...)
	world.WantTold(t, "the widest one", append(latest, world.Take(t, widest, world.Showing("last"))...), written...)
	if shared.Stats().Moves == 0 {
		t.Error("nobody was moved to a wider watch")
	}
}

// Subscriptions that share a source are cut off together; each finds all that was
// written meanwhile.
func writtenWhileSharedIsDisconnected(t *testing.T, w *world.World) {
	s, _ := w.Shared(t)
	key := w.Grown(t, 1)
	subs := []*stream.Subscription{
		s.Open(t, w.Types(), stream.Options{}), s.Open(t, stream.Aggregates(key), stream.Options{}), s.Open(t, stream.Orgs(w.Org), stream.Options{}),
	}
	for _, sub := range subs {
		world.WantTold(t, "at first", world.Take(t, sub, world.CaughtUp), "1")
	}
	s.Proxy.Down.Store(true)
	if s.Proxy.Cut(nil) == 0 {
		t.Error("nothing was cut")
	}
	w.Write(t, key, "2")
	w.Write(t, key, "3")
	s.Proxy.Down.Store(false)
	for _, sub := range subs {
		world.WantTold(t, "then", world.Take(t, sub, world.Showing("3")), "2", "3")
	}
}

// One that takes nothing leaves the others what they share.
func slowSharer(t *testing.T, w *world.World) {
	s, _ := w.Shared(t)
	slow := s.Open(t, w.Types(), stream.Options{Buffer: 1000, Readers: 1})
	world.Take(t, slow, world.CaughtUp)
	quick := s.Open(t, w.Types(), stream.Options{})
	world.Take(t, quick, world.CaughtUp)
	keys := []msg.Key{w.Key(), w.Key(), w.Key()}
	const each = 20
	for n := range each {
		for _, key := range keys {
			w.Write(t, key, fmt.Sprintf("%d %s", n, strings.Repeat("x", 500)))
		}
	}
	everything := func(name string, sub *stream.Subscription) {
		next := make(map[msg.Key]uint64)
		for left := each * len(keys); left > 0; {
			for _, c := range world.Take(t, sub, anything) {
				if c.Kind == stream.Batch {
					world.Same(t, name+": version", c.Batch.Version, next[c.Key]+1)
					next[c.Key] = c.Batch.Version
					left--
				}
			}
		}
	}
	everything("quick", quick)
	everything("slow", slow)
}

func anything(stream.Change) bool { return true }

// Subscriptions of one scope have one watch for each shard among them, and none
// once they have ended.
func manyShareOne(t *testing.T, w *world.World) {
	s, shared := w.Shared(t)
	w.Grown(t, 2)
	watches := func() int {
		n := 0
		for _, node := range s.Pool.Stats().Nodes {
			n += node.Watches
		}
		return n
	}
	var subs []*stream.Subscription
	for range 6 {
		sub := s.Open(t, w.Types(), stream.Options{})
		world.Take(t, sub, world.CaughtUp)
		subs = append(subs, sub)
	}
	world.Eventually(t, "one watch for each shard", func() bool { return watches() == int(w.Shards) })
	world.Same(t, "subscribers", shared.Stats().Subscribers, len(subs)*int(w.Shards))
	for _, sub := range subs {
		world.Closed(t, sub)
	}
	world.Eventually(t, "no watch is left", func() bool { return watches() == 0 })
}

// Subscriptions that divide a scope by hashes are given every batch once among
// them, at a source of their own or at a shared one.
func rangesDivide(t *testing.T, w *world.World) {
	const parts, keys, each = 3, 24, 3
	joint, _ := w.Shared(t)
	for name, s := range map[string]world.Session{"own": w.Session(t), "shared": joint} {
		t.Run(name, func(t *testing.T) {
			part := *w
			part.Type = world.RandomID()
			var all []msg.Key
			for range keys {
				all = append(all, part.Grown(t, each-1))
			}
			given := make(map[string]int)
			subs := make([]*stream.Subscription, parts)
			for i := range subs {
				subs[i] = s.Open(t, part.Types(), stream.Options{Range: stream.HashShare(i, parts)})
				count(given, world.Take(t, subs[i], world.CaughtUp))
			}
			world.Same(t, "batches", len(given), keys*(each-1))
			for _, key := range all {
				part.Write(t, key, "last")
			}
			for i, sub := range subs {
				left := len(slices.DeleteFunc(slices.Clone(all), func(key msg.Key) bool { return !stream.HashShare(i, parts).Contains(key) }))
				for left > 0 {
					changes := world.Take(t, sub, anything)
					count(given, changes)
					left -= len(world.Tell(changes))
				}
			}
			world.Same(t, "batches", len(given), keys*each)
			for batch, times := range given {
				if times != 1 {
					t.Errorf("%s was given %d times", batch, times)
				}
			}
		})
	}
}

// count counts batches by aggregate and version.
func count(given map[string]int, changes []stream.Change) {
	for _, c := range changes {
		if c.Kind == stream.Batch {
			given[fmt.Sprintf("%v %d", c.Key, c.Batch.Version)]++
		}
	}
}
