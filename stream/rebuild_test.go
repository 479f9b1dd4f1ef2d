package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// versions is what the processes of two versions have done: they store a position
// together with its effect, as a projection does.
type versions struct {
	t     *testing.T
	p     *pool.Pool
	store *checkpoint.Memory
	opts  stream.Options

	mu sync.Mutex
	// first counts the effects of a batch that are no replays, replays those that are.
	first, replays map[effect]int
	by             map[effect]string
	caughtUp       map[string]int
}

type effect struct {
	key    msg.Key
	anchor checkpoint.Anchor
}

func newVersions(t *testing.T, p *pool.Pool, o stream.Options) *versions {
	return &versions{t: t, p: p, store: checkpoint.NewMemory(), opts: o, first: make(map[effect]int), replays: make(map[effect]int),
		by: make(map[effect]string), caughtUp: make(map[string]int)}
}

// process is one running process of a version.
type process struct {
	sub   *stream.Subscription
	ended chan error
}

func (v *versions) start(name string) (*process, error) {
	o := v.opts
	o.Name, o.Store = name, v.store
	if name == "orders@2" {
		o.RebuildOf = "orders"
	}
	sub, err := stream.Open(v.t.Context(), stream.FromPool(v.p), stream.Types(org, typ), o)
	if err != nil {
		return nil, err
	}
	p := &process{sub: sub, ended: make(chan error, 1)}
	go func() { p.ended <- v.handle(name, sub) }()
	return p, nil
}

func (v *versions) handle(name string, sub *stream.Subscription) error {
	for {
		changes, err := sub.Next(context.Background())
		if err != nil {
			return err
		}
		for i := range changes {
			c := &changes[i]
			if c.Kind == stream.CaughtUp {
				v.mu.Lock()
				v.caughtUp[name]++
				v.mu.Unlock()
			}
			if !c.Moves() || c.Owner == (checkpoint.Owner{}) {
				continue
			}
			entries := stream.Entries(changes[i : i+1])
			if err := v.apply(name, c, entries); err != nil {
				if c.Owner.Leased && errors.Is(err, checkpoint.ErrFenced) {
					continue // its next owner handles it
				}
				sub.Fail(rebuild.Explain(context.Background(), v.store, name, err))
				return sub.Err()
			}
			sub.Committed(entries)
		}
	}
}

// apply is the transaction of one change and its position.
func (v *versions) apply(name string, c *stream.Change, entries []checkpoint.Entry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.store.Apply(context.Background(), name, checkpoint.Mutation{Owners: []checkpoint.Owner{c.Owner}, Entries: entries})
	if err == nil && c.Kind == stream.Batch {
		v.tookLocked(name, c)
	}
	return err
}

func (v *versions) tookLocked(name string, c *stream.Change) {
	e := effect{c.Key, c.Cursor.Anchor}
	if c.Replay {
		if v.first[e] == 0 {
			v.t.Errorf("%s got %v as a replay, and nobody has handled it", name, c)
		}
		v.replays[e]++
		return
	}
	if v.first[e]++; v.first[e] > 1 {
		v.t.Errorf("%s handled %v, which %s had", name, c, v.by[e])
	}
	v.by[e] = name
}

func (v *versions) mustStart(name string) *process {
	v.t.Helper()
	p, err := v.start(name)
	if err != nil {
		v.t.Fatal(err)
	}
	return p
}

// stop ends a process and returns what it ended with.
func (p *process) stop() error {
	_ = p.sub.Close(context.Background())
	return <-p.ended
}

func (v *versions) counts() (first, replays int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.first), len(v.replays)
}

func (v *versions) expect(first, replays int) {
	v.t.Helper()
	if f, r := v.counts(); f != first || r != replays {
		v.t.Errorf("%d batches took effect and %d were replays, want %d and %d", f, r, first, replays)
	}
}

// rest lets virtual time pass until everything has come to rest.
func rest() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

// The rebuild handles what its predecessor has handled and waits there; from the
// cut-over on it goes on by itself, and the predecessor's process ends.
func TestRebuild(t *testing.T) {
	for _, ownership := range []stream.Ownership{stream.SingleOwner, stream.Leased} {
		t.Run(ownership.String(), func(t *testing.T) {
			bubble(t, 2, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
				v := newVersions(t, p, stream.Options{Ownership: ownership, Probe: -1})
				for i := range 50 {
					writeOn(t, p, keyOf(i%20))
				}
				old := v.mustStart("orders")
				rest()
				v.expect(50, 0)
				old.stop()
				for i := range 30 { // what the predecessor has not handled
					writeOn(t, p, keyOf(i))
				}
				fresh := v.mustStart("orders@2")
				rest()
				v.expect(50, 50)
				if r, ok := fresh.sub.Rebuild(); !ok || r.State != rebuild.Building || r.Waiting != 30 || r.Progress.Reached != 20 || v.caughtUp["orders@2"] != 0 {
					t.Errorf("while building: %+v, %v, %d times caught up", r, ok, v.caughtUp["orders@2"])
				}
				old = v.mustStart("orders")
				rest()
				v.expect(80, 80)
				if _, err := rebuild.CutOver(t.Context(), v.store, "orders@2", "test"); err != nil {
					t.Fatal(err)
				}
				writeOn(t, p, keyOf(1))
				rest()
				v.expect(81, 80)
				if r, err := rebuild.Load(t.Context(), v.store, "orders@2"); err != nil || r.State != rebuild.Current {
					t.Errorf("after the cut-over: %+v, %v", r, err)
				}
				if v.caughtUp["orders@2"] != 1 {
					t.Errorf("%d times caught up", v.caughtUp["orders@2"])
				}
				if err := <-old.ended; !errors.Is(err, checkpoint.ErrSuperseded) || !errors.Is(err, checkpoint.ErrFenced) {
					t.Errorf("the predecessor's process ended with %v", err)
				}
				_ = old.sub.Close(context.Background())
				var by *checkpoint.SupersededError
				if _, err := v.start("orders"); !errors.As(err, &by) || by.By != "orders@2" {
					t.Errorf("opening the predecessor again: %v", err)
				}
				fresh.stop()
				fresh = v.mustStart("orders@2")
				writeOn(t, p, keyOf(2))
				rest()
				v.expect(82, 80)
				fresh.stop()
			})
		})
	}
}

// Open refuses an impossible rebuild before it fences anybody.
func TestRebuildsThatAreRefused(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		v := newVersions(t, p, stream.Options{})
		old := v.mustStart("orders")
		open := func(scope stream.Scope, change func(*stream.Options)) error {
			o := stream.Options{Name: "orders@2", Store: v.store, RebuildOf: "orders"}
			change(&o)
			s, err := stream.Open(t.Context(), stream.FromPool(p), scope, o)
			if err == nil {
				_ = s.Close(context.Background())
			}
			return err
		}
		same := stream.Types(org, typ)
		var scope *checkpoint.ScopeError
		if err := open(stream.Orgs(org), func(*stream.Options) {}); !errors.As(err, &scope) {
			t.Errorf("another scope: %v", err)
		}
		for what, change := range map[string]func(*stream.Options){
			"from now":                 func(o *stream.Options) { o.Start = stream.FromNow },
			"cursors":                  func(o *stream.Options) { o.Cursors = map[msg.Key]checkpoint.Cursor{keyOf(1): {}} },
			"itself":                   func(o *stream.Options) { o.Name = "orders" },
			"another predecessor":      func(o *stream.Options) { o.RebuildOf = "other" },
			"an unknown predecessor":   func(o *stream.Options) { o.Name, o.RebuildOf = "x@2", "x" },
			"a store without records":  func(o *stream.Options) { o.Store = struct{ checkpoint.Store }{v.store} },
			"a rebuild of the rebuild": func(o *stream.Options) { o.Name, o.RebuildOf = "orders@3", "orders@2" },
		} {
			if err := open(same, change); err == nil {
				t.Errorf("%s is accepted", what)
			}
		}
		if old.sub.Err() != nil {
			t.Errorf("the predecessor ended: %v", old.sub.Err())
		}
		old.stop()
	})
}

// The lives of aggregates end at any time: what the predecessor has not announced is
// live, and nobody waits for ever for what is gone.
func TestRebuildAcrossLives(t *testing.T) {
	bubble(t, 2, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) {
		v := newVersions(t, p, stream.Options{Probe: -1})
		for i := range 40 {
			writeOn(t, p, keyOf(i%8))
		}
		old := v.mustStart("orders")
		rest()
		fresh := v.mustStart("orders@2")
		rest()
		v.expect(40, 40)
		old.stop()
		fresh.stop()
		for i, again := range []int{0, 1, 7} { // deleted, recreated below and beyond
			deleteOn(t, p, keyOf(i))
			for range again {
				writeOn(t, p, keyOf(i))
			}
		}
		if err := p.TrimStart(t.Context(), &msg.TrimStartRequest{Key: keyOf(3), KeepFrom: 4, ClientID: clientID}); err != nil {
			t.Fatal(err)
		}
		deleteOn(t, p, keyOf(9)) // nothing
		fresh = v.mustStart("orders@2")
		rest()
		v.expect(40, 40) // the predecessor has announced nothing of it
		if _, err := rebuild.CutOver(t.Context(), v.store, "orders@2", "test"); err != nil {
			t.Fatal(err)
		}
		rest()
		v.expect(48, 40)
		if r, err := rebuild.Load(t.Context(), v.store, "orders@2"); err != nil || r.State != rebuild.Current {
			r, _ := fresh.sub.Rebuild()
			t.Errorf("after the cut-over: %+v, %v", r, err)
		}
		fresh.stop()
	})
}

func deleteOn(t *testing.T, p *pool.Pool, key msg.Key) {
	t.Helper()
	err := p.Delete(t.Context(), &msg.DeleteRequest{ClientID: clientID, Deletes: []msg.AggregateDelete{{Key: key, AllowRecreate: true}}})
	if refused := (*msg.ServerError)(nil); err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
}

// Processes of both versions come and go, and the versions are cut over, rolled back and
// given up, while aggregates are written, deleted and trimmed: each batch takes effect
// once, and is a replay only behind that.
//
//covers:g19
func TestRebuildStorm(t *testing.T) {
	for seed := range uint64(4) {
		ownership := stream.Ownership(seed % 2)
		t.Run(fmt.Sprint(ownership, seed), func(t *testing.T) {
			bubble(t, 2, func(t *testing.T, _ *celerianttest.Node, p *pool.Pool) { rebuildStorm(t, p, ownership, seed) })
		})
	}
}

func rebuildStorm(t *testing.T, p *pool.Pool, ownership stream.Ownership, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	v := newVersions(t, p, stream.Options{Ownership: ownership, Probe: -1, Partitions: 4, LeaseTTL: 3 * time.Second})
	running := map[int]*process{0: v.mustStart("orders")}
	written := make(map[msg.Key]int)
	steps := map[string]int{}
	for range 150 {
		key := keyOf(rng.IntN(12))
		switch rng.IntN(14) {
		default:
			writeOn(t, p, key)
			written[key]++
		case 0:
			deleteOn(t, p, key)
		case 1, 2, 3:
			slot := rng.IntN(4)
			if running[slot] != nil {
				running[slot].stop()
				delete(running, slot)
			} else if r, err := v.start([]string{"orders", "orders@2"}[slot%2]); err == nil {
				running[slot] = r
			}
		case 4:
			name := []string{"orders", "orders@2"}[rng.IntN(2)]
			var r rebuild.Rebuild
			var err error
			switch rng.IntN(5) {
			case 0, 1:
				r, err = rebuild.CutOver(t.Context(), v.store, name, "test")
			case 2:
				r, err = rebuild.Rollback(t.Context(), v.store, "orders@2", "test")
			case 3:
				r, err = rebuild.Abort(t.Context(), v.store, name, "test")
			case 4:
				r, err = rebuild.Start(t.Context(), v.store, "orders@2", "orders", "test")
			}
			if err == nil {
				steps[string(r.State)]++
			}
		}
		time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
	}
	for _, r := range running {
		r.stop()
	}
	// Each version that may go on is started.
	for range 3 {
		var alive []*process
		for _, name := range []string{"orders", "orders@2"} {
			if r, err := v.start(name); err == nil {
				alive = append(alive, r)
			}
		}
		rest()
		for _, r := range alive {
			r.stop()
		}
	}
	first, replays := v.counts()
	t.Logf("%d effects, %d replays, %v", first, replays, steps)
	// Of lives that ended nobody may have seen all: what is there now was handled.
	for key := range written {
		page, err := p.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}})
		if err != nil {
			continue // deleted
		}
		for i := range page.Batches {
			if e := (effect{key, checkpoint.AnchorOf(&page.Batches[i])}); v.first[e] != 1 {
				t.Errorf("batch %d of %v took effect %d times", page.Batches[i].Version, key, v.first[e])
			}
		}
	}
	if first < 50 || replays == 0 {
		t.Errorf("%d effects and %d replays: nothing happened", first, replays)
	}
}
