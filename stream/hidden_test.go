package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// A key that may only read may not ask who leads. The leader's word is then what all
// nodes agree on.

// Where the node watched is a follower, lags or has stopped to show anything new, all
// is heard within the interval of probes and a little.
//
//covers:demotion
func TestReadOnlyKeyAtALaggingNode(t *testing.T) {
	for name, sicken := range map[string]func(p *celerianttest.Pair){
		"well":        func(*celerianttest.Pair) {},
		"lag of 40 s": func(p *celerianttest.Pair) { p.SetLag(40 * time.Second) },
		"frozen":      func(p *celerianttest.Pair) { p.FreezeLag() },
	} {
		t.Run(name, func(t *testing.T) {
			inPair(t, keyed(celerianttest.PairOptions{}), stream.Options{}, func(x *paired) {
				x.mustWrite(keyOf(0), "before")
				time.Sleep(5 * time.Second)
				if err := x.pair.FailOver(); err != nil { // the node watched follows from now on
					t.Fatal(err)
				}
				sicken(x.pair)
				for n := range 8 {
					began := time.Now()
					before, _ := x.count()
					x.mustWrite(keyOf(n%2), fmt.Sprint(n))
					time.Sleep(9 * time.Second)
					if after, at := x.count(); after != before+1 || at.Sub(began) > 3500*time.Millisecond {
						t.Fatalf("%d batches after write %d, the last after %v", after-before, n, at.Sub(began))
					}
				}
				x.pair.ThawLag()
				x.pair.SetLag(time.Millisecond)
				time.Sleep(10 * time.Second)
				x.agrees(2)
				if left := x.left(); len(left) > 0 {
					t.Errorf("Live was left: %v", left)
				}
			})
		})
	}
}

// Leaders are killed in the middle of bursts and started again, silent, behind and
// holding batches twice. The changes delivered are the batches that the cluster holds.
//
//covers:demotion
func TestReadOnlyKeyWhileLeadersAreKilled(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			po := celerianttest.PairOptions{RestartSilence: 3 * time.Second, RestartBehind: 25 * time.Second, RestartRepeats: true}
			po.Seed, po.Shards, po.ReadLag = seed, 1+int(seed), time.Duration(seed)*200*time.Millisecond
			inPair(t, keyed(po), stream.Options{}, func(x *paired) {
				const keys = 4
				ctx, stop := context.WithCancel(x.t.Context())
				var writers sync.WaitGroup
				for n := range keys {
					x.mustWrite(keyOf(n), "first")
					writers.Go(func() {
						for i := 0; ctx.Err() == nil; i++ {
							_ = x.write(keyOf(n), fmt.Sprint(n, ".", i))
							time.Sleep(time.Duration(50+7*n) * time.Millisecond)
						}
					})
				}
				for range 3 {
					time.Sleep(4*time.Second + time.Duration(seed)*37*time.Millisecond)
					killed := x.pair.Leader()
					if err := x.pair.Kill(killed); err != nil {
						x.t.Fatal(err)
					}
					time.Sleep(5 * time.Second)
					if err := x.pair.Restart(killed); err != nil {
						x.t.Fatal(err)
					}
					time.Sleep(10 * time.Second)
				}
				stop()
				writers.Wait()
				time.Sleep(time.Minute)
				x.agrees(keys)
				if phase := x.sub.State().Phase; phase != stream.Live {
					x.t.Errorf("%v at the end", phase)
				}
			})
		})
	}
}

// openKeyed opens a subscription with a key that may only read; write is for the test.
func openKeyed(t *testing.T, pair *celerianttest.Pair) (sub *stream.Subscription, write *paired) {
	t.Helper()
	write = &paired{t: t, pair: pair, pool: poolOf(t, pair, &readWrite)}
	consumer := poolOf(t, pair, &readOnly)
	t.Cleanup(func() {
		if err := errors.Join(write.pool.Close(context.Background()), consumer.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	sub, err := stream.Open(t.Context(), stream.FromPool(consumer), stream.Types(org, typ), stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return sub, write
}

// takeUntil takes changes up to one of a kind.
func takeUntil(t *testing.T, sub *stream.Subscription, kind stream.Kind, patience time.Duration) (kinds []stream.Kind, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		changes, err := sub.Next(ctx)
		if err != nil {
			return kinds, err
		}
		for _, c := range changes {
			if kinds = append(kinds, c.Kind); c.Kind == kind {
				return kinds, sub.Commit(ctx, stream.Entries(changes))
			}
		}
		if err := sub.Commit(ctx, stream.Entries(changes)); err != nil {
			return kinds, err
		}
	}
}

// CaughtUp is not announced before what only the other node shows, a delete included.
//
//covers:demotion
func TestReadOnlyKeyIsCaughtUpWithBothNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := celerianttest.RunPair(t, keyed(celerianttest.PairOptions{Options: celerianttest.Options{InMemory: true, Clock: new(strictClock)}}))
		sub, x := openKeyed(t, pair)
		defer closeNow(t, sub)
		x.mustWrite(keyOf(0), "one")
		x.mustWrite(keyOf(1), "one")
		if _, err := takeUntil(t, sub, stream.CaughtUp, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		closeNow(t, sub)
		if err := pair.FailOver(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		pair.FreezeLag() // the node that is asked first shows nothing of what follows
		x.mustWrite(keyOf(0), "two")
		x.mustWrite(keyOf(2), "new")
		if err := x.pool.Delete(t.Context(), &msg.DeleteRequest{ClientID: clientID, Deletes: []msg.AggregateDelete{{Key: keyOf(1)}}}); err != nil {
			t.Fatal(err)
		}
		sub, _ = openKeyed(t, pair)
		defer closeNow(t, sub)
		kinds, err := takeUntil(t, sub, stream.CaughtUp, 20*time.Second)
		if want := []stream.Kind{stream.Batch, stream.Batch, stream.Batch, stream.CaughtUp}; err != nil || fmt.Sprint(kinds) != fmt.Sprint(want) {
			t.Errorf("%v, want %v, %v", kinds, want, err)
		}
		// A delete that only one node shows is one.
		if err := x.pool.Delete(t.Context(), &msg.DeleteRequest{ClientID: clientID, Deletes: []msg.AggregateDelete{{Key: keyOf(2), AllowRecreate: true}}}); err != nil {
			t.Fatal(err)
		}
		if kinds, err := takeUntil(t, sub, stream.Deleted, 10*time.Second); err != nil || len(kinds) != 1 {
			t.Errorf("%v, %v", kinds, err)
		}
		x.mustWrite(keyOf(2), "again")
		if kinds, err := takeUntil(t, sub, stream.Batch, 10*time.Second); err != nil || len(kinds) != 1 {
			t.Errorf("%v, %v", kinds, err)
		}
	})
}

// With one node away nothing tells that the other one is up to date: changes flow,
// the cause of the wait is told, and CaughtUp comes with the node.
func TestReadOnlyKeyWaitsForTheOtherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := celerianttest.RunPair(t, keyed(celerianttest.PairOptions{Options: celerianttest.Options{InMemory: true, Clock: new(strictClock)}}))
		if err := pair.Kill(pair.B()); err != nil {
			t.Fatal(err)
		}
		sub, x := openKeyed(t, pair)
		defer closeNow(t, sub)
		time.Sleep(5 * time.Second)
		x.mustWrite(keyOf(0), "one")
		if kinds, err := takeUntil(t, sub, stream.Batch, 10*time.Second); err != nil || len(kinds) != 1 {
			t.Fatalf("%v, %v", kinds, err)
		}
		if kinds, err := takeUntil(t, sub, stream.CaughtUp, 30*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v, %v", kinds, err)
		}
		retrying := sub.Stats().Retrying
		if len(retrying) == 0 || !strings.Contains(fmt.Sprint(retrying[0].Err), "no node tells whether it leads, and so all of them must show the same") {
			t.Errorf("the cause is not told: %v", retrying)
		}
		if err := pair.Restart(pair.B()); err != nil {
			t.Fatal(err)
		}
		if kinds, err := takeUntil(t, sub, stream.CaughtUp, time.Minute); err != nil || len(kinds) != 1 {
			t.Errorf("%v, %v", kinds, err)
		}
	})
}
