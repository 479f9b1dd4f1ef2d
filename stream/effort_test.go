package stream_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Each list of a shard that is read to its end is told of, with all its entries; looks at
// what is new are none.
func TestReconcilesAreTold(t *testing.T) {
	const shards = 4
	bubble(t, shards, func(t *testing.T, node *celerianttest.Node, p *pool.Pool) {
		for n := range aggregates {
			writeOn(t, p, keyOf(n))
		}
		var told []stream.ReconcileDone
		o := stream.Options{Reconcile: time.Minute, Hooks: stream.Hooks{
			Reconciled: func(d stream.ReconcileDone) { told = append(told, d) },
		}}
		openOn(t, stream.FromPool(p), stream.Types(org, typ), o)
		for round := 1; round <= 3; round++ {
			time.Sleep(30 * time.Second)
			synctest.Wait()
			entries, of := 0, make(map[uint64]int)
			for _, d := range told {
				entries += d.Entries
				of[d.Shard]++
				if d.Pages < 1 || d.Duration < 0 || d.Duration > time.Second {
					t.Errorf("%+v", d)
				}
			}
			if len(told) != round*shards || len(of) != shards || entries != round*aggregates {
				t.Errorf("after round %d: %d reconciles of %d shards with %d entries", round, len(told), len(of), entries)
			}
			time.Sleep(30 * time.Second)
		}
	})
}

// What a member takes over is told of once it is live with it: at first everything, then
// what another member leaves.
func TestTakeOversAreTold(t *testing.T) {
	bubble(t, 4, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		f := newFleet(t, p)
		f.write(aggregates)
		start := func(name string) (*runner, *[]stream.TakeOver) {
			told := new([]stream.TakeOver)
			f.opts.Hooks.TakenOver = func(o stream.TakeOver) { *told = append(*told, o) }
			return f.start(name), told
		}
		sum := func(told *[]stream.TakeOver) (partitions int) {
			synctest.Wait()
			for _, o := range *told {
				partitions += o.Partitions
				if o.Duration < 0 || o.Duration > 2*time.Second {
					t.Errorf("%+v", o)
				}
			}
			return partitions
		}
		one, ofOne := start("one")
		time.Sleep(10 * time.Second)
		if n := sum(ofOne); n != 64 || len(*ofOne) != 1 {
			t.Errorf("the first member took over %+v", *ofOne)
		}
		two, ofTwo := start("two")
		time.Sleep(30 * time.Second)
		if n := sum(ofTwo); n != 32 || sum(ofOne) != 64 {
			t.Errorf("the second member took over %+v, the first %+v", *ofTwo, *ofOne)
		}
		two.close()
		time.Sleep(30 * time.Second)
		if n := sum(ofOne); n != 96 || sum(ofTwo) != 32 {
			t.Errorf("behind the second member the first took over %+v", *ofOne)
		}
		one.close()
		f.once(aggregates, 1)
	})
}
