package lease

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

func TestOneProcessOwnsAllAtOnce(t *testing.T) {
	s := newSim(t, 1, 4, 64)
	s.start("")
	s.run(200 * time.Millisecond) // five requests of 40 ms at most
	if q, since := s.longest(); since > 0 {
		s.fatalf("partition %d has no owner yet", q)
	}
	s.rest()
}

func TestTakeOverAfterAKill(t *testing.T) {
	for seed := range uint64(20) {
		s := newSim(t, seed, 4, 64)
		for range 3 {
			s.start("")
			s.run(time.Second)
		}
		s.rest()
		s.run(time.Duration(s.rng.Int64N(int64(5 * time.Second))))
		s.procs[seed%3].kill()
		s.worst = 0
		s.run(DefaultTTL + 10*time.Second)
		if s.worst > DefaultTTL+2*time.Second || s.worst < DefaultTTL/2 {
			s.fatalf("a partition has had no owner for %v", s.worst)
		}
		s.rest()
	}
}

// A process that was stopped in the middle of a transaction holds the record of one
// partition: all others are taken over.
func TestTakeOverBesideALockedPartition(t *testing.T) {
	s := newSim(t, 11, 4, 64)
	victim := s.start("")
	s.start("")
	s.start("")
	s.rest()
	held := slices.Sorted(maps.Keys(victim.owned[victim.id+"/1"]))
	q := held[len(held)/2]
	s.store.locked = checkpoint.PartitionKey(q)
	victim.paused = true
	s.run(DefaultTTL + 10*time.Second)
	if len(s.ownerless) != 1 || s.ownerless[q] == 0 {
		s.fatalf("partition %d is locked, owned by nobody: %v", q, s.ownerless)
	}
	s.store.locked = ""
	s.rest()
}

func TestALeaverIsFollowedWithinAHeartbeat(t *testing.T) {
	s := newSim(t, 3, 4, 64)
	for range 3 {
		s.start("")
	}
	s.rest()
	p := s.procs[0]
	p.leave()
	s.run(DefaultTTL/3 + time.Second)
	if q, since := s.longest(); since > 0 || !p.left[p.id+"/1"] {
		s.fatalf("partition %d has had no owner for %v", q, since)
	}
	s.rest()
}

func TestAJoinerGetsItsShareAfterOneHeartbeat(t *testing.T) {
	s := newSim(t, 4, 4, 64)
	s.start("")
	s.rest()
	p := s.start("")
	s.run(DefaultTTL/3 + 2*time.Second)
	if n := len(p.owned[p.id+"/1"]); n != 32 {
		s.fatalf("the joiner has %d partitions", n)
	}
	moved := s.events - 64
	if moved != 64 { // 32 lost, 32 gained
		s.fatalf("%d gains and losses", moved)
	}
	s.rest()
}

func TestAMemberOfTheSameLabelSupersedes(t *testing.T) {
	s := newSim(t, 5, 4, 64)
	s.start("pod-1")
	s.rest()
	s.procs[0].kill()
	s.start("pod-1")
	s.run(time.Second)
	if q, since := s.longest(); since > 0 {
		s.fatalf("partition %d has had no owner for %v", q, since)
	}
	s.start("pod-1")
	s.run(DefaultTTL)
	if err := s.procs[1].ended[s.procs[1].id+"/1"]; !errors.Is(err, ErrSuperseded) || !errors.Is(err, checkpoint.ErrFenced) {
		s.fatalf("the superseded member ended with %v", err)
	}
	s.rest()
}

func TestADeletedSubscriptionIsNotMadeAgain(t *testing.T) {
	s := newSim(t, 6, 4, 64)
	p := s.start("")
	s.rest()
	s.store.records[simName] = map[string][]byte{}
	s.store.owners = s.store.owners.Delete()
	s.store.records[""][checkpoint.SignalPrefix+simName] = []byte(`{"format":1}`)
	s.deleted = true
	s.run(DefaultTTL/3 + time.Second)
	if err := p.ended[p.id+"/1"]; !errors.Is(err, checkpoint.ErrDeleted) || len(s.store.records[simName]) > 0 {
		s.fatalf("ended with %v, records %v", err, s.store.records[simName])
	}
}

func TestAStoppedPartitionIsNobodysUntilItIsResumed(t *testing.T) {
	s := newSim(t, 10, 4, 64)
	s.start("")
	s.start("")
	s.rest()
	var stop checkpoint.Mutation
	stop.Stop(checkpoint.Stopped{Partition: 7, Error: "broken"})
	signal := func(token string) {
		s.store.records[""][checkpoint.SignalPrefix+simName] = []byte(token)
	}
	s.store.records[simName][stop.Records[0].Key] = stop.Records[0].Value
	signal(`{"format":1}`)
	s.run(DefaultTTL)
	if q, since := s.longest(); q != 7 || len(s.ownerless) != 1 || since < DefaultTTL/3 {
		s.fatalf("owned by nobody: %v", s.ownerless)
	}
	delete(s.store.records[simName], stop.Records[0].Key)
	signal(`{"format":2}`)
	s.run(DefaultTTL)
	s.rest()
}

func TestStoreClockJumpsStealNothing(t *testing.T) {
	for _, jump := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		s := newSim(t, 7, 4, 64)
		for range 3 {
			s.start("")
		}
		s.rest()
		events := s.events
		for range 5 {
			s.run(7 * time.Second)
			s.store.offset += jump
		}
		s.run(30 * time.Second)
		if s.events != events {
			s.fatalf("a jump of the store's clock moved partitions %d times", s.events-events)
		}
		s.rest()
	}
}

// A process whose heartbeats fail for a while is not taken for gone because the store's
// clock jumped: what it wrote last says when it expires by the clock of before.
func TestStoreClockJumpBesideFailedHeartbeatsStealsNothing(t *testing.T) {
	for seed := range uint64(8) {
		s := newSim(t, 100+seed, 4, 64)
		s.start("")
		s.start("")
		s.rest()
		s.run(time.Duration(seed) * DefaultTTL / 16)
		events := s.events
		s.store.offset += 10 * time.Minute
		s.procs[0].cut = true
		s.run(9 * time.Second)
		if s.events != events {
			s.fatalf("partitions moved %d times", s.events-events)
		}
		s.rest()
	}
}

func TestAWallClockJumpEndsLeasesOnce(t *testing.T) {
	s := newSim(t, 8, 4, 64)
	s.start("")
	s.start("")
	s.rest()
	s.procs[0].offset += time.Hour // forward: it may have slept
	s.procs[1].offset -= time.Hour // backward: nothing
	before := s.events
	s.run(10 * time.Second)
	if moved := s.events - before; moved != 64 { // 32 lost and gained again
		s.fatalf("%d gains and losses", moved)
	}
	s.rest()
}

//covers:g17
func TestStorms(t *testing.T) {
	for seed := range uint64(10) {
		s := newSim(t, 1000+seed, 1+seed%7, []uint32{64, 5, 1, 17}[seed%4])
		acted := 0
		for range 25 {
			alive := s.alive()
			switch action := s.rng.IntN(9); {
			case action < 2 && len(alive) < 6 || len(alive) == 0:
				s.start("").drain = time.Duration(s.rng.Int64N(int64(4 * time.Second)))
			case action == 2:
				alive[0].kill()
				acted++
			case action == 3:
				alive[0].paused = true
				s.logf("%s paused", alive[0].id)
				acted++
			case action == 4:
				p := alive[len(alive)-1]
				p.cut = !p.cut
				s.logf("%s cut: %v", p.id, p.cut)
				acted++
			case action == 5:
				s.unkind = s.rng.IntN(30)
				s.slowest = time.Duration(1+s.rng.IntN(1500)) * time.Millisecond
			case action == 6:
				s.store.offset += time.Duration(s.rng.IntN(1200)-600) * time.Second
				s.jumpedAt = s.now
			case action == 7:
				p := alive[0]
				p.leave()
			default:
				for _, p := range s.procs {
					if p.paused && !p.dead {
						p.resume()
					}
				}
			}
			s.run(time.Duration(s.rng.Int64N(int64(12 * time.Second))))
		}
		if acted == 0 && seed%7 == 0 {
			t.Log("a calm storm", seed)
		}
		if len(s.alive()) == 0 {
			s.start("")
		}
		s.rest()
	}
}

func TestStatementsAtRest(t *testing.T) {
	counts := []int{1, 10, 100}
	if testing.Short() {
		counts = counts[:2]
	}
	for _, processes := range counts {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			s := newSim(t, 9, 4, 128)
			s.unwatched = processes > 10
			for range processes {
				p := s.start("")
				if processes == 1 {
					for i := range 19 {
						name := fmt.Sprintf("%s-%d", simName, i)
						s.store.records[name] = map[string][]byte{definitionKey: s.def.Encode()}
						p.join(fmt.Sprintf("%s/%d", p.id, i+2), "", name)
					}
				}
			}
			s.run(3 * time.Minute)
			before := s.store.statements
			s.run(100 * time.Second)
			if rate := float64(s.store.statements-before) / 100; rate > 0.201*float64(processes) {
				t.Fatalf("%.2f statements a second", rate)
			}
		})
	}
}
