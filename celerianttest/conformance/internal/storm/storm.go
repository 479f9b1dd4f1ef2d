package storm

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/judge"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/proxy"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// Kind describes a storm: random writes, trims, deletes and recreations
// of both kinds, while the connections of subscriptions suffer and their consumers
// are thrown away and resumed from their checkpoints.
type Kind struct {
	Name      string
	consumers []consumer
	// spread has the aggregates written belong to several types and organisations.
	spread bool
	// nodes disturbs the nodes meanwhile; it returns when it is done, and says
	// how often it did. nil means that only connections suffer.
	nodes func(ctx context.Context, w *world.World, record *record.Recorder) (int, error)
	// disturb does something to what is between the consumers and the server, and says
	// what. nil means that the connections of the consumers suffer.
	disturb func(context.Context) (string, error)
}

// consumer is what one reader of a storm does.
type consumer struct {
	scope func(w *world.World, keys []msg.Key) stream.Scope
	opts  stream.Options
	// shared has it stand on the storm's shared source, not on one of its own.
	shared bool
	// living has members of all kinds join and leave its scope, and needs none.
	living bool
	// divides tells that it and others divide a scope by Range.
	divides bool
	// after is how many writes it waits for.
	after int
	// way, if there is one, is how it subscribes.
	way *Way
}

const (
	authors   = 3
	stormKeys = 12
)

// storm is one that passes.
type storm struct {
	Kind
	*world.World
	record  *record.Recorder
	proxy   *proxy.Proxy
	shared  *stream.Shared
	keys    []msg.Key
	readers []*reader
	seed    uint64
	begun   time.Time
}

// calm is how much longer than at first everybody pauses, so that on a slow machine,
// too, consumers keep up with writers, and with what their connections suffer.
func (x *storm) calm() time.Duration {
	return max(0, min((time.Since(x.begun)-x.Server.Storm)/10, 5*time.Second))
}

// Pass lets a storm pass and returns its record. Pass fails the test if too
// little happened, or if a consumer does not arrive where the writers are.
func (s Kind) Pass(t *testing.T, w *world.World, seed uint64) []byte {
	x := &storm{Kind: s, World: w, record: record.New(), keys: drawKeys(w, s.spread), seed: seed, begun: time.Now()}
	if s.nodes != nil { // do not wait for long for a node that is paused
		o := w.Options()
		o.RequestTimeout, o.ConnectTimeout = time.Second, time.Second
		w.Pool = world.NewPool(t, o)
	}
	x.gather(t)
	run, stop := context.WithCancel(t.Context())
	failed := make(chan error, len(x.readers))
	for _, r := range x.readers {
		go func() { failed <- r.read(run) }()
	}
	x.rage(t)
	for _, r := range x.readers {
		r.steady.Store(true)
	}
	x.settle(t)
	stop()
	for range x.readers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if s.nodes == nil {
		x.watchedAtFollowers(t)
	}
	if missing := x.quiet(); missing != "" {
		t.Errorf("too quiet to prove anything: %s", missing)
	}
	return x.record.Bytes()
}

// drawKeys returns new aggregates, all of one type or, spread, of two types of one organisation
// and of another organisation.
func drawKeys(w *world.World, spread bool) []msg.Key {
	var keys []msg.Key
	org, typ := world.RandomID(), world.RandomID()
	for i := range stormKeys {
		key := w.Key()
		switch {
		case spread && i%3 == 1:
			key.Type = typ
		case spread && i%3 == 2:
			key.Org = org
		}
		keys = append(keys, key)
	}
	return keys
}

// gather makes the readers.
func (x *storm) gather(t *testing.T) {
	rough, proxy := x.Rough(t, func(o *pool.Options) { o.RequestTimeout, o.FailoverBudget = 4*time.Second, 4*time.Second })
	x.proxy, x.shared = proxy, world.Share(t, stream.FromPool(rough))
	moved := make(chan struct{}, 1)
	for i, c := range x.consumers {
		r := &reader{
			opts: c.opts, store: checkpoint.NewMemory(), Voice: record.Voice{Record: x.record, Reader: i}, divides: c.divides, after: c.after, way: c.way,
			rng: rand.New(rand.NewPCG(x.seed, 2+uint64(i)<<8)), moved: moved, calm: x.calm,
		}
		r.opts.Name = "storm"
		if c.living {
			r.members = newMembers(x.keys)
		} else {
			r.scope = c.scope(x.World, x.keys)
		}
		source := stream.FromPool(rough)
		if c.shared {
			source = x.shared
		}
		r.source = record.Source{Source: source, Voice: r.Voice}
		x.readers = append(x.readers, r)
	}
}

// watchedAtFollowers demands that followers were watched and read by those who ask
// for it.
func (x *storm) watchedAtFollowers(t *testing.T) {
	leader, err := x.Pool.Leader(t.Context())
	world.Must(t, err)
	lines, err := record.Parse(bytes.NewReader(x.record.Bytes()))
	world.Must(t, err)
	count := make(map[record.Tally]int)
	for _, l := range lines {
		if l.Node != "" && l.Node != leader {
			count[record.Tally{What: l.What, Reader: l.Reader}]++
		}
	}
	for i, c := range x.consumers {
		if w, r := count[record.Tally{What: record.Watch, Reader: i}], count[record.Tally{What: record.Read, Reader: i}]; c.opts.Followers && (w == 0 || r == 0) {
			t.Errorf("too quiet: %d watches and %d reads at followers by reader %d", w, r, i)
		}
	}
}

// quiet says what happened too seldom, so far.
func (x *storm) quiet() string {
	for _, c := range []struct {
		what  record.What
		least int
	}{{record.Write, 100}, {record.Delete, 3}, {record.Trim, 3}} {
		if n := x.record.Counted(c.what); n < c.least {
			return fmt.Sprintf("%d times %q, want %d", n, c.what, c.least)
		}
	}
	for i, c := range x.consumers {
		if missing := c.quiet(x.record, i); missing != "" {
			return fmt.Sprintf("reader %d: %s", i, missing)
		}
	}
	suffered := x.proxy.Cuts.Load() + x.proxy.Holes.Load()
	if x.disturb != nil {
		suffered = int64(x.record.Counted(record.Fault))
	}
	if n := suffered; n < 5 {
		return fmt.Sprintf("connections suffered %d times, want 5", n)
	}
	share := x.shared.Stats()
	if sharing := x.sharing(); sharing > 1 && (share.Joins <= share.Opened || share.Joined+share.Kept == 0) {
		return fmt.Sprintf("%d readers share little: %+v", sharing, share)
	}
	return ""
}

// quiet says what one reader met too seldom.
func (c consumer) quiet(rec *record.Recorder, reader int) string {
	least := map[record.What]int{record.Change: 100, record.Commit: 20, record.Notice: 20, record.Open: 3}
	if c.living {
		least[record.Join], least[record.Leave] = 4, 4
	}
	if c.way != nil { // its notifications are the other side's affair
		delete(least, record.Notice)
		if c.way.Forgets {
			delete(least, record.Commit)
		}
	}
	if c.divides || c.after > 0 { // it has a part only
		least[record.Change] = 50
	}
	for what, want := range least {
		if n := rec.CountedOf(reader, what); n < want {
			return fmt.Sprintf("%d times %q, want %d", n, what, want)
		}
	}
	return ""
}

func (x *storm) sharing() int {
	n := 0
	for _, c := range x.consumers {
		if c.shared {
			n++
		}
	}
	return n
}

// rage lets the authors write and connections suffer for as long as the target
// says, or until the nodes have been disturbed; longer, if too little happened.
func (x *storm) rage(t *testing.T) {
	var lost atomic.Int64
	var work sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range authors {
		a := newAuthor(x.World, x.record, x.keys[i*stormKeys/authors:(i+1)*stormKeys/authors], x.seed+uint64(i), &lost)
		work.Go(func() {
			if err := a.storm(ctx, func() time.Duration { return x.calm() / 50 }); err != nil {
				t.Error(err)
			}
		})
	}
	if x.disturb == nil {
		work.Go(func() { x.suffer(ctx) })
	} else {
		work.Go(func() { x.trouble(ctx, t) })
	}
	if x.nodes == nil {
		pause(ctx, x.Server.Storm)
	} else if n, err := x.nodes(ctx, x.World, x.record); err != nil {
		t.Error(err)
	} else if n == 0 {
		t.Error("too quiet: no node was disturbed")
	}
	for end := time.Now().Add(2 * time.Minute); x.quiet() != "" && time.Now().Before(end); {
		pause(ctx, 20*time.Millisecond)
	}
	stop()
	work.Wait()
	x.proxy.Intercept(nil)
	x.record.Add(record.Line{What: record.Fault, Text: fmt.Sprintf("%d changes had an unknown outcome at first", lost.Load())})
}

// suffer cuts connections, at frames and inside of them, and black-holes those
// of requests.
func (x *storm) suffer(ctx context.Context) {
	rng := rand.New(rand.NewPCG(x.seed, 3))
	// Holes are few: what stays silent twice counts as unreadable.
	holes := 0
	dice := rand.New(rand.NewPCG(rng.Uint64(), 4)) // for the proxy alone
	x.proxy.Intercept(func(f proxy.Frame) proxy.Fate {
		switch {
		case dice.IntN(150) == 0 && (x.calm() == 0 || dice.IntN(8) == 0):
			return proxy.Fate{Cut: true, At: dice.IntN(f.Size + 1)}
		case dice.IntN(1000) == 0 && f.ToClient && f.Kind != proxy.WatchFrame && holes < 2:
			holes++
			return proxy.Fate{Hole: true}
		}
		return proxy.Fate{}
	})
	for ctx.Err() == nil {
		if n := x.proxy.Cut(func(*proxy.Link) bool { return rng.IntN(4) == 0 }); n > 0 {
			x.record.Add(record.Line{What: record.Fault, Text: fmt.Sprintf("%d connections cut", n)})
		}
		pause(ctx, time.Duration(5+rng.IntN(60))*time.Millisecond+x.calm())
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// settle waits until the record shows the consumers where the writers are.
func (x *storm) settle(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, key := range x.keys {
		if err := show(ctx, x.World, x.record, key); err != nil {
			t.Error(err)
			return
		}
	}
	for ctx.Err() == nil {
		began, log := time.Now(), x.record.Bytes()
		if all, err := settled(log); err != nil {
			t.Fatal(err)
		} else if !broken(all, "G9") && x.record.Settle(len(log)) {
			return
		}
		select {
		case <-ctx.Done():
		case <-x.readers[0].moved:
			pause(ctx, 100*time.Millisecond+10*time.Since(began)) // to look costs more than it does
		case <-time.After(200 * time.Millisecond):
		}
	}
	x.record.Add(record.Line{What: record.Settled})
}

// settled judges a record as if nothing more could come.
func settled(log []byte) ([]judge.Finding, error) {
	lines, err := record.Parse(bytes.NewReader(log))
	if err != nil {
		return nil, err
	}
	return judge.Lines(append(lines, record.Line{What: record.Settled})), nil
}

func broken(all []judge.Finding, guarantee string) bool {
	for _, v := range all {
		if v.Guarantee == guarantee {
			return true
		}
	}
	return false
}
