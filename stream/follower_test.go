package stream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// paired is a pair in memory, a pool that writes, and a subscription of which
// everything is noted.
type paired struct {
	t    *testing.T
	pair *celerianttest.Pair
	pool *pool.Pool
	sub  *stream.Subscription

	mu      sync.Mutex
	states  []stream.State
	heard   map[msg.Key][]held
	other   []string // changes that are neither batches nor CaughtUp
	newest  time.Time
	arrived int
}

// readWrite and readOnly are the keys of pairs that ask for keys.
var readWrite, readOnly = [pool.APIKeySize]byte{1}, [pool.APIKeySize]byte{2}

// keyed are pairs whose subscriptions have a key that may only read.
func keyed(po celerianttest.PairOptions) celerianttest.PairOptions {
	po.APIKeys = celerianttest.APIKeys{PrimaryRW: celerianttest.HashAPIKey(readWrite), PrimaryRO: celerianttest.HashAPIKey(readOnly)}
	return po
}

// poolOf opens a pool over both nodes.
func poolOf(t *testing.T, pair *celerianttest.Pair, key *[pool.APIKeySize]byte) *pool.Pool {
	t.Helper()
	o := pool.Options{
		Address: pair.A().Addr(), SeedAddresses: []string{pair.B().Addr()}, Dial: pair.DialContext, DisableCompression: true,
	}
	if key != nil {
		o.Identity = pool.FixedIdentity(pool.Credentials{APIKey: pool.NewAPIKey(*key)})
	}
	return newPool(t, o)
}

// inPair runs a test in virtual time. Its subscription is live when it begins.
func inPair(t *testing.T, po celerianttest.PairOptions, so stream.Options, test func(x *paired)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		po.InMemory = true
		if po.Clock == nil {
			po.Clock = new(strictClock)
		}
		pair, err := celerianttest.StartPair(po)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pair.Close() }()
		var write, read *[pool.APIKeySize]byte
		if len(po.APIKeys.PrimaryRO) > 0 {
			write, read = &readWrite, &readOnly
		}
		p, consumer := poolOf(t, pair, write), poolOf(t, pair, read)
		defer func() { _ = errors.Join(p.Close(context.Background()), consumer.Close(context.Background())) }()
		x := &paired{t: t, pair: pair, pool: p, heard: make(map[msg.Key][]held)}
		so.OnState = func(s stream.State) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.states = append(x.states, s)
		}
		if x.sub, err = stream.Open(t.Context(), stream.FromPool(consumer), stream.Types(org, typ), so); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			x.follow()
		}()
		time.Sleep(10 * time.Second)
		if phase := x.sub.State().Phase; phase != stream.Live {
			t.Fatalf("%v after ten seconds", phase)
		}
		test(x)
		closeNow(t, x.sub)
		<-done
	})
}

// follow takes and commits until the subscription ends; versions never go back.
func (x *paired) follow() {
	for {
		changes, err := x.sub.Next(context.Background())
		if err != nil {
			return
		}
		x.mu.Lock()
		for _, c := range changes {
			switch c.Kind {
			case stream.CaughtUp:
			case stream.Batch:
				got := x.heard[c.Key]
				if n := len(got); n > 0 && got[n-1].version >= c.Batch.Version {
					x.t.Errorf("version %d of %v came after %d", c.Batch.Version, c.Key.Aggregate, got[n-1].version)
				}
				x.heard[c.Key] = append(got, held{c.Batch.Version, string(c.Batch.Events[0].Value)})
				x.arrived++
				x.newest = time.Now()
			default:
				x.other = append(x.other, c.String())
			}
		}
		x.mu.Unlock()
		if err := x.sub.Commit(context.Background(), stream.Entries(changes)); err != nil {
			return
		}
	}
}

// write appends a batch; an error may mean that it is there all the same.
func (x *paired) write(key msg.Key, payload string) error {
	ctx, cancel := context.WithTimeout(x.t.Context(), 5*time.Second)
	defer cancel()
	_, err := x.pool.WriteEvents(ctx, key, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(payload)}}, clientID, pool.WriteOptions{})
	return err
}

func (x *paired) mustWrite(key msg.Key, payload string) {
	x.t.Helper()
	if err := x.write(key, payload); err != nil {
		x.t.Fatal(err)
	}
}

// agrees compares what was heard with what the leader holds, batch by batch.
func (x *paired) agrees(keys int) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), time.Minute)
	defer cancel()
	if _, err := x.pair.AwaitLeader(ctx); err != nil {
		x.t.Fatal(err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for n := range keys {
		var want []held
		for from := uint64(1); ; {
			page, err := x.pool.AtLeader().Read(ctx, &msg.ReadRequest{Key: keyOf(n), Filters: msg.ReadFilters{From: from}})
			if err != nil {
				x.t.Fatal(err)
			}
			for _, b := range page.Batches {
				if n := len(want); n > 0 && want[n-1].version == b.Version {
					continue // a node that was restarted holds batches twice
				}
				want = append(want, held{b.Version, string(b.Events[0].Value)})
			}
			if !page.NextVersion.Set {
				break
			}
			from = page.NextVersion.Value
		}
		if got := x.heard[keyOf(n)]; fmt.Sprint(got) != fmt.Sprint(want) {
			x.t.Errorf("of aggregate %d %d batches were heard, the leader has %d others", n, len(got), len(want))
		}
	}
	if len(x.other) > 0 {
		x.t.Errorf("needless: %q", x.other)
	}
}

// count is how many batches have arrived, and when the last one did.
func (x *paired) count() (int, time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.arrived, x.newest
}

func (x *paired) left() (states []stream.State) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.states {
		if s.Phase == stream.Reconnecting {
			states = append(states, s)
		}
	}
	return states
}

// A follower that shows nothing new, for tens of seconds or for ever, holds
// nothing up for longer than the interval of probes and a little, and is left
// once it lags too far; when it is well again it is watched again.
func TestLaggingFollowerIsLeft(t *testing.T) {
	for name, sicken := range map[string]func(p *celerianttest.Pair){
		"lag of 40 s": func(p *celerianttest.Pair) { p.SetLag(40 * time.Second) },
		"frozen":      func(p *celerianttest.Pair) { p.FreezeLag() },
	} {
		t.Run(name, func(t *testing.T) {
			inPair(t, celerianttest.PairOptions{}, stream.Options{Followers: true}, func(x *paired) {
				x.mustWrite(keyOf(0), "before")
				time.Sleep(5 * time.Second)
				sicken(x.pair)
				for n := range 12 {
					began := time.Now()
					before, _ := x.count()
					x.mustWrite(keyOf(n%2), fmt.Sprint(n))
					time.Sleep(9 * time.Second) // a next write would tell the follower of this one
					if after, at := x.count(); after != before+1 || at.Sub(began) > 3500*time.Millisecond {
						x.t.Fatalf("%d batches after the write, the last after %v", after-before, at.Sub(began))
					}
				}
				if s := x.sub.Stats(); s.Moves < 1 {
					x.t.Errorf("never moved: %+v", s)
				}
				x.pair.ThawLag()
				x.pair.SetLag(time.Millisecond)
				time.Sleep(90 * time.Second)
				moves := x.sub.Stats().Moves
				if moves < 2 || moves%2 != 0 {
					x.t.Errorf("%d moves: the follower is not watched", moves)
				}
				x.mustWrite(keyOf(0), "after")
				time.Sleep(time.Second)
				if lag := x.sub.Stats().Lag; lag != 0 {
					x.t.Errorf("a lag of %v", lag)
				}
				x.agrees(2)
				if left := x.left(); len(left) > 0 {
					x.t.Errorf("Live was left: %v", left)
				}
			})
		})
	}
}

// The node watched is deposed and gives no sign of it: that is noticed within
// the interval of probes.
func TestSilentDemotionIsNoticed(t *testing.T) {
	depose := map[string]func(x *paired){
		"failed over": func(x *paired) {
			if err := x.pair.FailOver(); err != nil {
				x.t.Fatal(err)
			}
		},
		"paused and resumed": func(x *paired) {
			a := x.pair.A()
			if err := x.pair.Pause(a); err != nil {
				x.t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if err := x.pair.Resume(a); err != nil {
				x.t.Fatal(err)
			}
		},
	}
	for name, depose := range depose {
		t.Run(name, func(t *testing.T) {
			inPair(t, celerianttest.PairOptions{}, stream.Options{}, func(x *paired) {
				x.mustWrite(keyOf(0), "before")
				depose(x)
				x.pair.FreezeLag() // or the old leader would notify as a follower
				deposed := time.Now()
				time.Sleep(10 * time.Second)
				left := x.left()
				if len(left) == 0 || left[0].Since.Sub(deposed) > 2500*time.Millisecond {
					x.t.Fatalf("the demotion was not noticed in time: %v", left)
				}
				if phase := x.sub.State().Phase; phase != stream.Live {
					x.t.Errorf("%v ten seconds later", phase)
				}
				began := time.Now()
				x.mustWrite(keyOf(0), "after")
				time.Sleep(2 * time.Second)
				if n, at := x.count(); n != 2 || at.Sub(began) > time.Second {
					x.t.Errorf("%d batches, the last %v after it was written", n, at.Sub(began))
				}
				x.agrees(1)
			})
		})
	}
}

// The leader notifies changes that it does not show yet, and is killed. The changes
// delivered are the batches that the cluster holds; those shown late come soon.
func TestLeaderAheadOfItsReads(t *testing.T) {
	for _, followers := range []bool{false, true} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint("followers ", followers, ", seed ", seed), func(t *testing.T) {
				po := celerianttest.PairOptions{RestartBehind: 10 * time.Second}
				po.Seed, po.Shards, po.ReadLag = seed, 1+int(seed%2), 500*time.Millisecond
				inPair(t, po, stream.Options{Followers: followers}, func(x *paired) {
					const keys = 4
					burst := func(n int) {
						for range n {
							for k := range keys {
								x.mustWrite(keyOf(k), fmt.Sprint(k, ".", n))
							}
						}
					}
					burst(20)
					for range 4 {
						time.Sleep(10 * time.Second)
						began := time.Now()
						before, _ := x.count()
						burst(1)
						acked := time.Now()
						time.Sleep(9 * time.Second)
						if after, at := x.count(); after != before+keys || at.Sub(acked) > 3500*time.Millisecond {
							x.t.Fatalf("%d batches of %d, the last %v after the first was written", after-before, keys, at.Sub(began))
						}
					}
					killed := x.pair.Leader()
					if err := x.pair.Kill(killed); err != nil {
						x.t.Fatal(err)
					}
					time.Sleep(5 * time.Second)
					burst(20)
					if err := x.pair.Restart(killed); err != nil {
						x.t.Fatal(err)
					}
					burst(20)
					time.Sleep(time.Minute)
					x.agrees(keys)
				})
			})
		}
	}
}

// The leader is killed three times in the middle of bursts and started again,
// silent, behind and holding batches twice. The changes delivered are the batches that
// the cluster holds.
func TestLeaderKilledThreeTimes(t *testing.T) {
	for _, followers := range []bool{false, true} {
		for seed := range seeds(3) {
			t.Run(fmt.Sprint("followers ", followers, ", seed ", seed), func(t *testing.T) {
				po := celerianttest.PairOptions{RestartSilence: 3 * time.Second, RestartBehind: 25 * time.Second, RestartRepeats: true}
				po.Seed, po.Shards = seed, 1+int(seed)
				inPair(t, po, stream.Options{Followers: followers}, func(x *paired) {
					const keys = 4
					ctx, stop := context.WithCancel(x.t.Context())
					var writers sync.WaitGroup
					for n := range keys {
						x.mustWrite(keyOf(n), "first")
						writers.Go(func() {
							for i := 0; ctx.Err() == nil; i++ {
								_ = x.write(keyOf(n), fmt.Sprint(n, ".", i))
								time.Sleep(time.Duration(20+7*n) * time.Millisecond)
							}
						})
					}
					for range 3 {
						before, _ := x.count()
						time.Sleep(4*time.Second + time.Duration(seed)*37*time.Millisecond)
						if after, _ := x.count(); after == before {
							x.t.Error("nothing was flowing before the kill")
						}
						killed := x.pair.Leader()
						if killed == nil {
							x.t.Fatal("nobody leads")
						}
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
}
