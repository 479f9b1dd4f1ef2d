package pool_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// The tests of this file run against the in-process node.

func events(n int, value []byte) []msg.Event {
	all := make([]msg.Event, n)
	for i := range all {
		all[i] = msg.Event{ClientSeq: uint64(i + 1), Major: 1, Value: value}
	}
	return all
}

func TestAgainstTheNode(t *testing.T) {
	for _, version := range []int{2, 3} {
		for _, compressed := range []bool{false, true} {
			n := celerianttest.Run(t, celerianttest.Options{Shards: 3, NoCompression: !compressed})
			p := open(t, pool.Options{Address: n.Addr(), ProtocolVersion: version})
			if shards, err := p.Shards(ctx); shards != 3 || err != nil {
				t.Fatal(shards, err)
			}
			value := bytes.Repeat([]byte("x"), 5000)
			for a := range uint64(9) {
				v, err := p.WriteEvents(ctx, keyOf(a), events(2, value), me, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](0)})
				if v != 1 || err != nil {
					t.Fatal(v, err)
				}
			}
			_, err := p.WriteEvents(ctx, keyOf(0), events(1, nil), me, pool.WriteOptions{ExpectedVersion: msg.Some[uint64](0)})
			if !errors.Is(err, msg.ErrConflict) || msg.Ambiguous(err) {
				t.Error(err)
			}
			_, err = p.WriteEvents(ctx, keyOf(0), events(1, nil), me, pool.WriteOptions{EnforceIdempotency: true})
			if !errors.Is(err, msg.ErrDuplicate) {
				t.Error(err)
			}
			_, err = p.WriteEvents(ctx, keyOf(99), events(1, nil), me, pool.WriteOptions{DenyCreate: true})
			if !errors.Is(err, msg.ErrNotFound) {
				t.Error(err)
			}
			if err := p.Delete(ctx, &msg.DeleteRequest{ClientID: me, Deletes: []msg.AggregateDelete{{Key: keyOf(8)}}}); err != nil {
				t.Error(err)
			}
			var live []msg.Key
			for item, err := range p.ListAggregates(ctx, pool.ListAggregatesOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				live = append(live, item.Key)
			}
			slices.SortFunc(live, msg.Key.Compare)
			if len(live) != 8 || live[7] != keyOf(7) {
				t.Errorf("listed %v", live)
			}
			for b, err := range p.ReadAll(ctx, keyOf(1), msg.ReadFilters{}) {
				if err != nil || !bytes.Equal(b.Events[1].Value, value) {
					t.Error(b.Version, err)
				}
			}
		}
	}
}

// Answers, requests and connections lost, cut and damaged at random: what a
// write reports agrees with what is stored, and what is read is what was written.
func TestFaultsNeverLie(t *testing.T) {
	n := celerianttest.Run(t, celerianttest.Options{Seed: 1})
	var mu sync.Mutex
	frames, faults := 0, 0
	n.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		mu.Lock()
		defer mu.Unlock()
		frames++
		verdicts := []celerianttest.Verdict{
			celerianttest.CutBefore(), celerianttest.CutAfter(frames % 40), celerianttest.Corrupt(frames % 17), celerianttest.Drop(),
		}
		if frames%5 != 0 {
			return celerianttest.Pass()
		}
		faults++
		return verdicts[faults%len(verdicts)]
	})
	p := open(t, pool.Options{Address: n.Addr(), MaxConnections: 3, RequestTimeout: 50 * time.Millisecond, ConnectTimeout: 200 * time.Millisecond})
	type tally struct{ sure, perhaps uint64 }
	tallies := make([]tally, 6)
	var all sync.WaitGroup
	for worker := range tallies {
		all.Go(func() {
			for range 40 {
				_, err := p.WriteEvents(ctx, keyOf(uint64(worker)), events(1, []byte{byte(worker)}), me, pool.WriteOptions{})
				switch {
				case err == nil:
					tallies[worker].sure++
				case msg.Ambiguous(err):
					tallies[worker].perhaps++
				}
			}
		})
	}
	all.Wait()
	n.Intercept(nil)
	p = open(t, pool.Options{Address: n.Addr()}) // which has time
	mu.Lock()
	if faults < 20 {
		t.Errorf("only %d faults", faults)
	}
	mu.Unlock()
	for worker, told := range tallies {
		var stored uint64
		for b, err := range p.ReadAll(ctx, keyOf(uint64(worker)), msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			if stored++; b.Version != stored || !bytes.Equal(b.Events[0].Value, []byte{byte(worker)}) {
				t.Errorf("worker %d: batch %d holds %v", worker, b.Version, b.Events)
			}
		}
		if stored < told.sure || stored > told.sure+told.perhaps {
			t.Errorf("worker %d: %d stored, %d acknowledged, %d ambiguous", worker, stored, told.sure, told.perhaps)
		}
	}
}

// Under virtual time: the node's heartbeats keep a watch alive, its silence
// does not.
func TestWatchOnTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := celerianttest.Start(celerianttest.Options{InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		p := open(t, pool.Options{Address: "memory:1", Dial: n.DialContext})
		w := openWatch(t, p)
		for range 10 {
			if frame, err := w.Next(ctx); err != nil || len(frame) != 0 {
				t.Fatal(frame, err)
			}
		}
		if _, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		var operations []msg.Operation
		for len(operations) < 2 {
			frame, err := w.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, note := range frame {
				operations = append(operations, note.Operation)
			}
		}
		if !slices.Equal(operations, []msg.Operation{msg.OpCreate, msg.OpWrite}) {
			t.Errorf("notified %v", operations)
		}
		n.Intercept(func(*celerianttest.Frame) celerianttest.Verdict { return celerianttest.Drop() })
		start := time.Now()
		if _, err := w.Next(ctx); !errors.Is(err, pool.ErrWatchSilent) || time.Since(start) != pool.DefaultWatchLiveness {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// A pool survives its node: a restart costs reads nothing and leaves no dead
// connection in use.
func TestNodeRestarts(t *testing.T) {
	n := celerianttest.Run(t, celerianttest.Options{})
	p := open(t, pool.Options{Address: n.Addr()})
	for i := range 10 {
		if _, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{}); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		if err := n.Restart(); err != nil {
			t.Fatal(err)
		}
		if d, err := p.Details(ctx, key); err != nil || d.MaxVersion != uint64(i+1) {
			t.Fatalf("read %d: %v, %v", i, d, err)
		}
	}
}
