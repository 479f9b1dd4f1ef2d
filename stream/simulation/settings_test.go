package simulation_test

import (
	"math/rand/v2"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// settings are what a run consists of; all of them follow from the seed.
type settings struct {
	Seed      uint64
	Pair      bool
	Quirks    bool
	Shared    bool // the consumers share a source
	Writers   int
	Consumers int
	Keys      int // of each writer
	Changes   int // by each writer
	Faults    int
	Node      celerianttest.Options
	PairOpts  celerianttest.PairOptions
}

func settingsOf(seed uint64) settings {
	r := rand.New(rand.NewPCG(seed, 's'))
	s := settings{
		Seed: seed, Pair: r.IntN(2) == 0, Quirks: r.IntN(2) == 0,
		Writers: 1 + r.IntN(3), Consumers: 1 + r.IntN(3), Keys: 1 + r.IntN(6), Changes: 60 + r.IntN(80), Faults: 8 + r.IntN(12),
	}
	s.Shared = s.Consumers > 1 && r.IntN(2) == 0
	s.Node = celerianttest.Options{
		InMemory: true, Address: "node-a:10000", Quirks: s.Quirks, Seed: seed, Shards: 1 + r.IntN(3),
		Routing: pick(r, msg.RouteByAggregate, msg.RouteByAggregate, msg.RouteByType, msg.RouteByOrg),
	}
	if r.IntN(3) == 0 {
		s.Node.MaxResponseSize = 24 << 10
	}
	if r.IntN(3) == 0 {
		s.Node.SegmentBytes, s.Node.ListPageSize = 16<<10, 2
	}
	s.Node.MaxUndelivered = pick(r, 0, 30)
	s.Node.CommitDelay = pick(r, 0, 0, 5*time.Millisecond+7*time.Nanosecond)
	s.PairOpts = celerianttest.PairOptions{
		Lag:            pick(r, 0, 3*time.Millisecond+13, 2*time.Second+17),
		NoFallback:     r.IntN(4) == 0,
		RestartRepeats: r.IntN(3) == 0,
		RestartBehind:  pick(r, 0, 0, 30*time.Second+19),
		SteadyRestarts: true,
		Takeover:       pick(r, 0, 300*time.Millisecond+23, 4*time.Second+29),
	}
	s.Node.ReadLag = pick(r, 0, 0, 40*time.Millisecond+11, 500*time.Millisecond+41)
	return s
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// scopeOf is what a consumer follows, and whether single aggregates are members;
// the first consumer follows everything there is.
func (s *sim) scopeOf(r *rand.Rand, consumer int) (scope stream.Scope) {
	kinds := 6
	if consumer == 0 {
		kinds = 3
	}
	switch r.IntN(kinds) {
	case 0:
		return stream.Everything()
	case 1:
		return stream.Orgs(org)
	case 3:
		return stream.Types(org, typeOf(r.IntN(s.set.Writers)))
	case 2:
		types := make([]msg.ID, s.set.Writers)
		for i := range types {
			types[i] = typeOf(i)
		}
		return stream.Types(org, types...)
	}
	if r.IntN(2) == 0 {
		scope = stream.Types(org, typeOf(0), msg.IDFromUint64(4711))
	}
	keys := []msg.Key{keyOf(0, 999)} // that never exists
	for _, key := range s.keys {
		if r.IntN(3) > 0 {
			keys = append(keys, key)
		}
	}
	return stream.Union(scope, stream.Aggregates(keys...))
}

func (s *sim) optionsOf(r *rand.Rand) stream.Options {
	followers := s.set.Pair && r.IntN(2) == 0
	return stream.Options{
		Followers:    followers,
		MaxLag:       pick(r, 0, time.Second+43),
		Probe:        pick(r, 0, 500*time.Millisecond+47),
		Latency:      pick(r, 0, 0, 20*time.Millisecond, 700*time.Millisecond),
		Buffer:       pick[int64](r, 0, 2<<10, 20<<10),
		Readers:      pick(r, 0, 1, 3),
		Continuation: pick(r, stream.Replay, stream.Replay, stream.ContinueOnly),
		Range:        pick(r, stream.HashRange{}, stream.HashRange{}, stream.HashShare(0, 2), stream.HashShare(2, 3)),
		Reconcile:    pick(r, 0, -1, 25*time.Second+31),
	}
}

func poolOptionsOf(r *rand.Rand) pool.Options {
	return pool.Options{
		MaxConnections: 64,
		RequestTimeout: pick(r, 0, 500*time.Millisecond+37),
		// Not that of the subscription: both would end in the same instant.
		WatchLiveness:      pick(r, 16*time.Second+41, time.Hour),
		ProtocolVersion:    pick(r, 2, 3),
		DisableCompression: r.IntN(2) == 0,
	}
}
