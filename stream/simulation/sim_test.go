package simulation_test

import (
	"context"
	"fmt"
	"math/rand"
	randv2 "math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

var org = msg.IDFromUint64(77)

func typeOf(writer int) msg.ID { return msg.IDFromUint64(uint64(500 + writer)) }

func keyOf(writer, n int) msg.Key {
	return msg.Key{Org: org, Type: typeOf(writer), Aggregate: msg.IDFromUint64(uint64(100*writer + n))}
}

func number(key msg.Key) int {
	_, n := key.Aggregate.Uint64s()
	return int(n)
}

func numbers(keys []msg.Key) []int {
	out := make([]int, len(keys))
	for i, key := range keys {
		out[i] = number(key)
	}
	return out
}

// sim is one run.
type sim struct {
	set       settings
	when      *instants
	log       *recorder
	net       *network
	nodes     []*celerianttest.Node
	pair      *celerianttest.Pair
	truth     *truth
	keys      []msg.Key
	writers   []*writer
	consumers []*consumer
	// shared is the source of all consumers, nil where each has one of its own.
	shared     *stream.Shared
	sharedPool *pool.Pool

	calm    atomic.Bool // no more faults: everything comes to rest
	calmed  time.Time
	calming context.Context
	doubts  int
	slow    atomic.Int64 // consumers of a shared source that take their time

	mu      sync.Mutex
	counts  map[string]int
	failure string
}

// outcome is what a run has shown.
type outcome struct {
	failure string
	log     []string
	counts  map[string]int
}

// simulate makes the run of a seed.
func simulate(t *testing.T, seed uint64) (out outcome) {
	reseed(seed)
	synctest.Test(t, func(t *testing.T) {
		log := newRecorder()
		s := &sim{set: settingsOf(seed), when: newInstants(seed, log), log: log, truth: newTruth(), counts: make(map[string]int)}
		s.run()
		out = outcome{s.failure, s.log.sorted(), s.counts}
	})
	return out
}

// reseed makes the chance of the client's backoffs follow from a seed.
func reseed(seed uint64) {
	//lint:ignore SA1019 what the client draws from has no other seed
	rand.Seed(int64(seed))
}

func (s *sim) run() {
	if err := s.start(); err != nil {
		s.failf("starting: %v", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	calming, calm := context.WithCancel(context.Background())
	s.calming = calming
	var stops []context.CancelFunc // of consumers
	var consumers, writers, monitors sync.WaitGroup
	for _, c := range s.consumers {
		ctx, stop := context.WithCancel(context.Background())
		stops = append(stops, stop)
		consumers.Go(func() {
			_ = s.when.doze(ctx, time.Microsecond, time.Second, c.name)
			c.run(ctx)
		})
	}
	for _, w := range s.writers {
		writers.Go(func() {
			_ = s.when.doze(ctx, time.Microsecond, time.Second, w.name)
			w.run(ctx)
		})
	}
	monitors.Go(func() { s.watch(ctx) })
	s.wreck(ctx)
	s.calmed = time.Now()
	s.calm.Store(true)
	calm()
	writers.Wait()
	s.settle()
	cancel()
	for _, stop := range stops {
		s.net.moment()
		stop()
	}
	consumers.Wait()
	monitors.Wait()
	if problem := s.vacuous(); problem != "" && s.failure == "" {
		s.failf("nothing happened: %s", problem)
	}
	s.stop()
}

func (s *sim) start() (err error) {
	s.set.Node.Clock = new(strictClock)
	if s.set.Pair {
		o := s.set.PairOpts
		o.Options = s.set.Node
		if s.pair, err = celerianttest.StartPair(o); err != nil {
			return err
		}
		s.nodes = []*celerianttest.Node{s.pair.A(), s.pair.B()}
	} else {
		n, err := celerianttest.Start(s.set.Node)
		if err != nil {
			return err
		}
		s.nodes = []*celerianttest.Node{n}
	}
	s.net = newNetwork(s.when, s.log, s.nodes...)
	r := randv2.New(randv2.NewPCG(s.set.Seed, 'o'))
	for w := range s.set.Writers {
		var keys []msg.Key
		for n := range s.set.Keys {
			keys = append(keys, keyOf(w, n))
		}
		s.keys = append(s.keys, keys...)
		s.writers = append(s.writers, newWriter(s, w, keys))
	}
	if s.set.Shared {
		s.sharedPool = s.newPool(sharer, poolOptionsOf(r))
		s.shared = stream.Share(newUnhurried(s, sharer, stream.FromPool(s.sharedPool)))
	}
	for n := range s.set.Consumers {
		scope := s.scopeOf(r, n)
		opts := s.optionsOf(r)
		if n == 0 {
			// The first one takes all.
			opts.Range = stream.HashRange{}
		}
		s.consumers = append(s.consumers, newConsumer(s, n, scope, opts, poolOptionsOf(r)))
	}
	return nil
}

// sharer is who dials for all consumers.
const sharer = "the shared source"

func (s *sim) stop() {
	for _, w := range s.writers {
		s.must(w.pool.Close(context.Background()))
	}
	if s.shared != nil {
		s.must(s.shared.Close(context.Background()))
		s.must(s.sharedPool.Close(context.Background()))
	}
	s.must(func() error {
		if s.pair != nil {
			return s.pair.Close()
		}
		return s.nodes[0].Close()
	}())
	if left := s.net.some(func(*link) bool { return true }); len(left) > 0 {
		s.failf("%d connections are left open at the end, the first that of %s (G14)", len(left), left[0].who)
	}
	s.net.work.Wait()
	s.when.sleep(time.Millisecond, "end") // for what was given up last
}

// newPool returns a pool that knows all nodes and dials through the network.
func (s *sim) newPool(who string, o pool.Options) *pool.Pool {
	for _, n := range s.nodes {
		o.SeedAddresses = append(o.SeedAddresses, n.Addr())
	}
	o.Dial = s.net.dialler(who)
	p, err := pool.New(o)
	if err != nil {
		panic(fmt.Sprintf("simulation: a pool's options: %v", err))
	}
	return p
}

func (s *sim) shardOf(key msg.Key) uint64 {
	return msg.ShardOf(s.set.Node.Routing.RoutingID(key), uint64(s.set.Node.Shards), false)
}

// watch looks at what must hold at all times.
func (s *sim) watch(ctx context.Context) {
	for s.when.doze(ctx, time.Second, time.Millisecond, "watch") == nil {
		for _, c := range s.consumers {
			c.stale()
		}
	}
}

// patience is how long the consumers may take, once there are no more faults, to
// hold what is true.
const patience = 3 * time.Minute

// settle waits until all consumers hold the truth, also of what is freed then, and
// looks whether they still do a while later.
func (s *sim) settle() {
	if !s.rests() {
		return
	}
	for _, w := range s.writers {
		w.free(context.Background())
	}
	if !s.rests() {
		return
	}
	if s.pair != nil && s.set.Seed%2 == 0 && s.pair.FailOver() == nil {
		// The pair tells no consumer of the failover. A consumer notices it at its next probe,
		// and after that the deposed node has 2 s to say so.
		s.log.add("fault", "failed over silently")
		s.count("failed over silently")
	}
	s.when.sleep(20*time.Second, "settle")
	if problem := s.differs(); problem != "" {
		s.failf("it held the truth and holds it no more: %s", problem)
	}
	for _, c := range s.consumers {
		c.misplaced()
	}
}

// rests waits until all consumers hold the truth; false if they take too long.
func (s *sim) rests() bool {
	for began := time.Now(); ; {
		problem := s.differs()
		if problem == "" {
			s.log.add("sim", "at rest")
			return true
		}
		if time.Since(began) > patience {
			s.failf("%v after the last fault: %s (G9)", time.Since(s.calmed), problem)
			return false
		}
		s.when.sleep(time.Second+s.when.delay(0, time.Millisecond, "settle"), "settle")
	}
}

func (s *sim) differs() string {
	for _, c := range s.consumers {
		if problem := c.differs(); problem != "" {
			return problem
		}
	}
	return ""
}

func (s *sim) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

func (s *sim) counted(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[what]
}

// failf keeps the first failure.
func (s *sim) failf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == "" {
		s.failure = fmt.Sprintf(format, args...)
		s.log.add("sim", "FAILED %s", s.failure)
	}
}

// strictClock never gives the same millisecond twice, as a disk's clock would not.
type strictClock struct{ last atomic.Int64 }

func (c *strictClock) Now() time.Time {
	for {
		last := c.last.Load()
		next := max(time.Now().UnixMilli(), last+1)
		if c.last.CompareAndSwap(last, next) {
			return time.UnixMilli(next)
		}
	}
}
