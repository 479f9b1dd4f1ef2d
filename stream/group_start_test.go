package stream_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// olderThanAnyStart lets what was written until now lie before a start.
func olderThanAnyStart() { time.Sleep(time.Minute) }

// handledFrom asserts that an aggregate was handled from one version to another, each
// once and in order; nothing at all if from is beyond to.
func (f *fleet) handledFrom(n int, from, to uint64) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	got := f.handled[keyOf(n)]
	for i, version := range got {
		if version != from+uint64(i) {
			f.t.Fatalf("aggregate %d: handled %v, want %d to %d", n, got, from, to)
		}
	}
	if uint64(len(got))+from != to+1 {
		f.t.Fatalf("aggregate %d: handled %v, want %d to %d", n, got, from, to)
	}
}

// A group that starts now handles what is written since, whoever owns a partition when:
// a member that takes one over goes on where the group has begun.
//
//covers:g9
func TestAGroupStartsNowOnce(t *testing.T) {
	bubble(t, 4, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		const old = 40
		f := newFleet(t, p)
		f.opts.Start = stream.FromNow
		f.write(old)
		f.write(old)
		olderThanAnyStart()
		one := f.start("one")
		time.Sleep(time.Second)
		records, _, err := f.store.Records(t.Context(), f.opts.Name, checkpoint.PartitionPrefix)
		if err != nil || len(records) != 64+1 {
			t.Fatalf("%d partitions, %v", len(records), err)
		}
		for _, r := range records[:64] { // the last is the definition
			if q, err := lease.ParsePartition(r); err != nil || q.Start == nil || !q.Start.Made {
				t.Fatalf("the start is not noted: %s, %v", r.Value, err)
			}
		}
		all := func(version uint64) {
			t.Helper()
			for n := range old {
				f.handledFrom(n, 3, version)
			}
		}
		all(2)
		f.write(old)
		two := f.start("two")
		time.Sleep(time.Minute)
		all(3)
		f.write(old + 5) // five are created
		time.Sleep(time.Minute)
		one.close()
		f.write(old + 5)
		time.Sleep(time.Minute)
		two.close()
		f.write(old + 10) // while nobody is there
		time.Sleep(time.Hour)
		three := f.start("three")
		defer three.close()
		time.Sleep(time.Minute)
		all(6)
		for n := range 5 {
			f.handledFrom(old+n, 1, 3)
			f.handledFrom(old+5+n, 1, 1)
		}
	})
}

// halted is a store that takes claims and no cursors, so that a start is never made.
type halted struct{ checkpoint.RecordStore }

func (h halted) Apply(ctx context.Context, name string, m checkpoint.Mutation) error {
	if len(m.Entries) > 0 {
		return errCut
	}
	return h.RecordStore.Apply(ctx, name, m)
}

// An owner that ends before the start is made leaves it to the next one, which begins
// when the first one did: nothing that was written in between is passed over.
//
//covers:g9
func TestAStartThatIsTakenOverBeginsWhereItBegan(t *testing.T) {
	bubble(t, 2, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		const old = 20
		f := newFleet(t, p)
		f.opts.Start = stream.FromNow
		for range 3 {
			f.write(old)
		}
		olderThanAnyStart()
		opts := f.opts
		opts.Store = halted{f.store}
		first := openOn(t, stream.FromPool(p), stream.Types(org, typ), opts)
		time.Sleep(10 * time.Second)
		f.write(old / 2)
		f.write(old / 2)
		writeOn(t, p, keyOf(old))
		time.Sleep(10 * time.Second)
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		next := f.start("next")
		defer next.close()
		time.Sleep(time.Minute)
		for n := range old / 2 {
			f.handledFrom(n, 4, 5)
			f.handledFrom(old/2+n, 4, 3)
		}
		f.handledFrom(old, 1, 1)
	})
}

// Members come and go while the start is being made and writers go on: each aggregate
// is handled without a gap from what was written at the start, at the latest, and from
// nothing that was written long before.
//
//covers:g9
func TestAGroupStartsNowUnderWrites(t *testing.T) {
	for seed := range uint64(3) {
		bubble(t, 3, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
			const keys = 30
			rng := rand.New(rand.NewPCG(seed, 0))
			f := newFleet(t, p)
			f.opts.Start = stream.FromNow
			for range 3 {
				f.write(keys)
			}
			olderThanAnyStart()
			head := make([]uint64, keys)
			for n := range head {
				head[n] = 3
			}
			write := func(d time.Duration) {
				for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
					n := rng.IntN(keys)
					head[n] = writeOn(t, p, keyOf(n))
				}
			}
			one := f.start("one")
			atStart := append([]uint64(nil), head...)
			write(time.Duration(rng.IntN(30)) * time.Millisecond)
			two := f.start("two")
			write(time.Duration(rng.IntN(100)) * time.Millisecond)
			one.close()
			write(20 * time.Second)
			three := f.start("three")
			defer three.close()
			write(20 * time.Second)
			two.close()
			write(10 * time.Second)
			time.Sleep(time.Minute)
			synctest.Wait()
			for n := range keys {
				f.mu.Lock()
				got := f.handled[keyOf(n)]
				f.mu.Unlock()
				if head[n] == 3 && len(got) == 0 {
					continue
				}
				if len(got) == 0 || got[0] <= 3 || got[0] > atStart[n]+1 {
					t.Fatalf("seed %d, aggregate %d, at version %d at the start: handled %v", seed, n, atStart[n], got)
				}
				f.handledFrom(n, got[0], head[n])
			}
		})
	}
}
