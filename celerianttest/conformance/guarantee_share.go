package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// What the guarantees say about subscriptions that share a source, or divide a
// scope.

// A subscription that stands on a watch is moved to wider ones while its
// aggregate is written to, and misses nothing.
func sharedGrowsWider(t *testing.T, w *world) {
	key := w.key()
	s, shared := w.shared(t)
	narrow := s.open(t, stream.Aggregates(key), stream.Options{})
	take(t, narrow, caughtUp)
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
			if _, err := w.pool.WriteEvents(t.Context(), key, []msg.Event{event(1, value)}, w.client, pool.WriteOptions{}); err != nil {
				t.Error(err)
				return
			}
			written = append(written, value)
		}
	})
	wide := s.open(t, w.types(), stream.Options{})
	early := take(t, wide, caughtUp)
	widest := s.open(t, stream.Orgs(w.org), stream.Options{})
	latest := take(t, widest, caughtUp)
	close(stop)
	writer.Wait()
	w.write(t, key, "last")
	written = append(written, "last")
	wantTold(t, "the narrow one", take(t, narrow, showing("last")), written...)
	wantTold(t, "the wide one", append(early, take(t, wide, showing("last"))...), written...)
	wantTold(t, "the widest one", append(latest, take(t, widest, showing("last"))...), written...)
	if shared.Stats().Moves == 0 {
		t.Error("nobody was moved to a wider watch")
	}
}

// Subscriptions that share a source are cut off together; each finds all that was
// written meanwhile.
func writtenWhileSharedIsDisconnected(t *testing.T, w *world) {
	s, _ := w.shared(t)
	key := w.grown(t, 1)
	subs := []*stream.Subscription{
		s.open(t, w.types(), stream.Options{}), s.open(t, stream.Aggregates(key), stream.Options{}), s.open(t, stream.Orgs(w.org), stream.Options{}),
	}
	for _, sub := range subs {
		wantTold(t, "at first", take(t, sub, caughtUp), "1")
	}
	s.proxy.down.Store(true)
	if s.proxy.cut(nil) == 0 {
		t.Error("nothing was cut")
	}
	w.write(t, key, "2")
	w.write(t, key, "3")
	s.proxy.down.Store(false)
	for _, sub := range subs {
		wantTold(t, "then", take(t, sub, showing("3")), "2", "3")
	}
}

// One that takes nothing leaves the others what they share.
func slowSharer(t *testing.T, w *world) {
	s, _ := w.shared(t)
	slow := s.open(t, w.types(), stream.Options{Buffer: 1000, Readers: 1})
	take(t, slow, caughtUp)
	quick := s.open(t, w.types(), stream.Options{})
	take(t, quick, caughtUp)
	keys := []msg.Key{w.key(), w.key(), w.key()}
	const each = 20
	for n := range each {
		for _, key := range keys {
			w.write(t, key, fmt.Sprintf("%d %s", n, strings.Repeat("x", 500)))
		}
	}
	everything := func(name string, sub *stream.Subscription) {
		next := make(map[msg.Key]uint64)
		for left := each * len(keys); left > 0; {
			for _, c := range take(t, sub, anything) {
				if c.Kind == stream.Batch {
					same(t, name+": version", c.Batch.Version, next[c.Key]+1)
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
func manyShareOne(t *testing.T, w *world) {
	s, shared := w.shared(t)
	w.grown(t, 2)
	watches := func() int {
		n := 0
		for _, node := range s.pool.Stats().Nodes {
			n += node.Watches
		}
		return n
	}
	var subs []*stream.Subscription
	for range 6 {
		sub := s.open(t, w.types(), stream.Options{})
		take(t, sub, caughtUp)
		subs = append(subs, sub)
	}
	eventually(t, "one watch for each shard", func() bool { return watches() == int(w.shards) })
	same(t, "subscribers", shared.Stats().Subscribers, len(subs)*int(w.shards))
	for _, sub := range subs {
		closed(t, sub)
	}
	eventually(t, "no watch is left", func() bool { return watches() == 0 })
}

// Subscriptions that divide a scope by hashes are given every batch once among
// them, at a source of their own or at a shared one.
func rangesDivide(t *testing.T, w *world) {
	const parts, keys, each = 3, 24, 3
	joint, _ := w.shared(t)
	for name, s := range map[string]session{"own": w.session(t), "shared": joint} {
		t.Run(name, func(t *testing.T) {
			part := *w
			part.typ = randomID()
			var all []msg.Key
			for range keys {
				all = append(all, part.grown(t, each-1))
			}
			given := make(map[string]int)
			subs := make([]*stream.Subscription, parts)
			for i := range subs {
				subs[i] = s.open(t, part.types(), stream.Options{Range: stream.HashShare(i, parts)})
				count(given, take(t, subs[i], caughtUp))
			}
			same(t, "batches", len(given), keys*(each-1))
			for _, key := range all {
				part.write(t, key, "last")
			}
			for i, sub := range subs {
				left := len(slices.DeleteFunc(slices.Clone(all), func(key msg.Key) bool { return !stream.HashShare(i, parts).Contains(key) }))
				for left > 0 {
					changes := take(t, sub, anything)
					count(given, changes)
					left -= len(tell(changes))
				}
			}
			same(t, "batches", len(given), keys*each)
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
