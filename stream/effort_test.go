package stream_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// heard is what a hook was told, by whichever goroutine.
type heard[T any] struct {
	mu  sync.Mutex
	all []T
}

func (h *heard[T]) hook(told T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, told)
}

// told returns what was told by now.
func (h *heard[T]) told() []T {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// Each list of a shard that is read to its end is told of, with all its entries; looks at
// what is new are none.
func TestReconcilesAreTold(t *testing.T) {
	const shards = 4
	bubble(t, shards, func(t *testing.T, node *celerianttest.Node, p *pool.Pool) {
		for n := range aggregates {
			writeOn(t, p, keyOf(n))
		}
		var reconciles heard[stream.ReconcileDone]
		o := stream.Options{Reconcile: time.Minute, Hooks: stream.Hooks{Reconciled: reconciles.hook}}
		openOn(t, stream.FromPool(p), stream.Types(org, typ), o)
		for round := 1; round <= 3; round++ {
			time.Sleep(30 * time.Second)
			told := reconciles.told()
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

// A member's take-over is told once it is live with the partitions: at first with all of
// them, then with those that another member leaves.
func TestTakeOversAreTold(t *testing.T) {
	bubble(t, 4, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		f := newFleet(t, p)
		var reconciles heard[stream.ReconcileDone]
		f.opts.Hooks.Reconciled = reconciles.hook
		f.write(aggregates)
		start := func(name string) (*runner, *heard[stream.TakeOver]) {
			told := new(heard[stream.TakeOver])
			f.opts.Hooks.TakenOver = told.hook
			return f.start(name), told
		}
		sum := func(of *heard[stream.TakeOver]) (partitions int) {
			for _, o := range of.told() {
				partitions += o.Partitions
				if o.Duration < 0 || o.Duration > 2*time.Second {
					t.Errorf("%+v", o)
				}
			}
			return partitions
		}
		one, ofOne := start("one")
		time.Sleep(10 * time.Second)
		if n := sum(ofOne); n != 64 || len(ofOne.told()) != 1 {
			t.Errorf("the first member took over %+v", ofOne.told())
		}
		two, ofTwo := start("two")
		time.Sleep(30 * time.Second)
		if n := sum(ofTwo); n != 32 || sum(ofOne) != 64 {
			t.Errorf("the second member took over %+v, the first %+v", ofTwo.told(), ofOne.told())
		}
		two.close()
		time.Sleep(30 * time.Second)
		if n := sum(ofOne); n != 96 || sum(ofTwo) != 32 {
			t.Errorf("behind the second member the first took over %+v", ofOne.told())
		}
		why := func(d stream.ReconcileDone) bool { return d.Reason == stream.ReconcileGained }
		if told := reconciles.told(); !slices.ContainsFunc(told, why) {
			t.Errorf("no reconcile because of partitions that were gained: %+v", told)
		}
		one.close()
		f.once(aggregates, 1)
	})
}

// Each reconcile tells why it was begun.
func TestReconcilesTellTheirReason(t *testing.T) {
	bubble(t, 1, func(t *testing.T, node *celerianttest.Node, p *pool.Pool) {
		writeOn(t, p, keyOf(0))
		var reconciles heard[stream.ReconcileDone]
		o := stream.Options{Reconcile: time.Minute, Hooks: stream.Hooks{Reconciled: reconciles.hook}}
		openOn(t, stream.FromPool(p), stream.Types(org, typ), o)
		time.Sleep(10 * time.Second)
		node.CutConnections()
		time.Sleep(30 * time.Second)
		time.Sleep(time.Minute)
		var got []string
		for _, d := range reconciles.told() {
			got = append(got, d.Reason.String())
		}
		if want := []string{"started", "reconnected", "due"}; !slices.Equal(got, want) {
			t.Errorf("reconciles because of %q, want %q", got, want)
		}
	})
}
