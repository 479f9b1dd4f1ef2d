package conformance

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// weather is one kind of storm: random writes, trims, deletes and recreations
// of both kinds, while the subscription's connections suffer and its consumer
// is thrown away and resumed from its checkpoint.
type weather struct {
	name  string
	scope func(w *world, keys []msg.Key) stream.Scope
	opts  stream.Options
	// nodes disturbs the nodes meanwhile; it returns when it is done, and says
	// how often it did. nil means that only connections suffer.
	nodes func(ctx context.Context, w *world, record *recorder) (int, error)
}

const (
	authors   = 3
	stormKeys = 12
)

// record lets a storm pass and returns its record. It fails the test if too
// little happened, or if the consumer does not arrive where the writers are.
func (s weather) record(t *testing.T, w *world, seed uint64) []byte {
	record := newRecorder()
	if s.nodes != nil { // do not wait for long for a node that is paused
		o := w.options()
		o.RequestTimeout, o.ConnectTimeout = time.Second, time.Second
		w.pool = newPool(t, o)
	}
	var keys []msg.Key
	for range stormKeys {
		keys = append(keys, w.key())
	}
	rough, x := w.rough(t, func(o *pool.Options) { o.RequestTimeout, o.FailoverBudget = 2*time.Second, 2*time.Second })
	opts := s.opts
	opts.Name = "storm"
	r := &reader{
		source: heard{stream.FromPool(rough), record}, scope: s.scope(w, keys), opts: opts, store: checkpoint.NewMemory(),
		record: record, rng: rand.New(rand.NewPCG(seed, 2)), moved: make(chan struct{}, 1),
	}
	run, stop := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- r.read(run) }()
	s.rage(t, w, x, record, keys, seed)
	r.steady.Store(true)
	s.settle(t, w, r, record, keys)
	stop()
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if s.opts.Followers && s.nodes == nil {
		w.watchedAtFollowers(t, record)
	}
	if missing := quiet(record, x); missing != "" {
		t.Errorf("too quiet to prove anything: %s", missing)
	}
	return record.bytes()
}

// watchedAtFollowers demands that followers were watched and read.
func (w *world) watchedAtFollowers(t *testing.T, record *recorder) {
	leader, err := w.pool.Leader(t.Context())
	done(t, err)
	lines, err := parse(bytes.NewReader(record.bytes()))
	done(t, err)
	count := make(map[what]int)
	for _, l := range lines {
		if l.Node != "" && l.Node != leader {
			count[l.What]++
		}
	}
	if count[aWatch] == 0 || count[aRead] == 0 {
		t.Errorf("too quiet: %d watches and %d reads at followers", count[aWatch], count[aRead])
	}
}

// quiet says what happened too seldom, so far.
func quiet(record *recorder, x *proxy) string {
	for _, c := range []struct {
		what  what
		least int
	}{{aWrite, 100}, {aDelete, 3}, {aTrim, 3}, {aChange, 100}, {aCommit, 20}, {aNotice, 20}, {anOpen, 3}} {
		if n := record.counted(c.what); n < c.least {
			return fmt.Sprintf("%d times %q, want %d", n, c.what, c.least)
		}
	}
	if n := x.cuts.Load() + x.holes.Load(); n < 5 {
		return fmt.Sprintf("connections suffered %d times, want 5", n)
	}
	return ""
}

// rage lets the authors write and connections suffer for as long as the target
// says, or until the nodes have been disturbed; longer, if too little happened.
func (s weather) rage(t *testing.T, w *world, x *proxy, record *recorder, keys []msg.Key, seed uint64) {
	var lost atomic.Int64
	var work sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range authors {
		a := newAuthor(w, record, keys[i*stormKeys/authors:(i+1)*stormKeys/authors], seed+uint64(i), &lost)
		work.Go(func() {
			if err := a.storm(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	work.Go(func() { suffer(ctx, x, record, rand.New(rand.NewPCG(seed, 3))) })
	if s.nodes == nil {
		pause(ctx, w.target.storm())
	} else if n, err := s.nodes(ctx, w, record); err != nil {
		t.Error(err)
	} else if n == 0 {
		t.Error("too quiet: no node was disturbed")
	}
	for end := time.Now().Add(time.Minute); quiet(record, x) != "" && time.Now().Before(end); {
		pause(ctx, 20*time.Millisecond)
	}
	stop()
	work.Wait()
	x.intercept(nil)
	record.add(line{What: aFault, Text: fmt.Sprintf("%d changes had an unknown outcome at first", lost.Load())})
}

// suffer cuts connections, at frames and inside of them, and black-holes those
// of requests.
func suffer(ctx context.Context, x *proxy, record *recorder, rng *rand.Rand) {
	// Holes are few: what stays silent twice counts as unreadable.
	holes := 0
	dice := rand.New(rand.NewPCG(rng.Uint64(), 4)) // for the proxy alone
	x.intercept(func(f frame) fate {
		switch {
		case dice.IntN(150) == 0:
			return fate{cut: true, at: dice.IntN(f.size + 1)}
		case dice.IntN(1000) == 0 && f.toClient && f.kind != watchFrame && holes < 2:
			holes++
			return fate{hole: true}
		}
		return fate{}
	})
	for ctx.Err() == nil {
		if n := x.cut(func(*link) bool { return rng.IntN(4) == 0 }); n > 0 {
			record.add(line{What: aFault, Text: fmt.Sprintf("%d connections cut", n)})
		}
		pause(ctx, time.Duration(5+rng.IntN(60))*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// settle waits until the record shows the consumer where the writers are.
func (s weather) settle(t *testing.T, w *world, r *reader, record *recorder, keys []msg.Key) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, key := range keys {
		if err := w.show(ctx, record, key); err != nil {
			t.Error(err)
			return
		}
	}
	for ctx.Err() == nil {
		if lines, err := parse(bytes.NewReader(record.bytes())); err != nil {
			t.Fatal(err)
		} else if j := judgeLines(append(lines, line{What: settled})); !broken(j, "G9") {
			break
		}
		select {
		case <-ctx.Done():
		case <-r.moved:
			pause(ctx, 100*time.Millisecond)
		case <-time.After(200 * time.Millisecond):
		}
	}
	record.add(line{What: settled})
}

func broken(all []Violation, guarantee string) bool {
	for _, v := range all {
		if v.Guarantee == guarantee {
			return true
		}
	}
	return false
}

// keep saves the record of a broken guarantee and says where.
func keep(t *testing.T, name string, record []byte) {
	t.Helper()
	f, err := os.CreateTemp("", "conformance-*.jsonl")
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if _, err := f.Write(record); err != nil {
		t.Error(err)
	}
	t.Logf("the record of the storm %q is in %s", name, f.Name())
}
