package simulation_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// fault is something that goes wrong; it returns how to undo it, if it lasts.
type fault struct {
	name string
	do   func(r *rand.Rand) (undo func(), did bool)
}

// wreck lets things go wrong now and then, and heals all in the end.
func (s *sim) wreck(ctx context.Context) {
	r := rand.New(rand.NewPCG(s.set.Seed, 'f'))
	faults := s.networkFaults()
	if s.pair != nil {
		faults = append(faults, s.pairFaults()...)
	} else {
		faults = append(faults, s.nodeFaults()...)
	}
	for _, c := range s.consumers {
		faults = append(faults, fault{"store away", func(r *rand.Rand) (func(), bool) {
			c.store.leave(within(r, 20*time.Second))
			return nil, true
		}})
	}
	for range 30 {
		if s.flowing() {
			break
		}
		_ = s.when.nap(ctx, time.Second+within(r, time.Millisecond), "fault")
	}
	undo := make(map[string]func())
	for n := 0; n < s.set.Faults || s.counted("faults") < 4 && n < 100; n++ {
		_ = s.when.nap(ctx, time.Microsecond+within(r, 4*time.Second), "fault")
		for _, name := range slices.Sorted(maps.Keys(undo)) {
			if r.IntN(3) == 0 {
				s.net.moment()
				undo[name]()
				delete(undo, name)
				s.log.add("fault", "undone: %s", name)
			}
		}
		s.net.moment()
		s.strike(r, faults[r.IntN(len(faults))], undo)
	}
	_ = s.when.nap(ctx, 3*time.Second+within(r, time.Second), "fault")
	s.heal(undo)
}

// strike makes one thing go wrong, if it is not wrong already.
func (s *sim) strike(r *rand.Rand, f fault, undo map[string]func()) {
	if undo[f.name] != nil {
		return
	}
	heal, did := f.do(r)
	s.log.add("fault", "%s: %v", f.name, did)
	if !did {
		return
	}
	if heal != nil {
		undo[f.name] = heal
	}
	s.count("faults")
	s.count("fault: " + f.name)
	if s.flowing() {
		s.count("faults while work was flowing")
	}
}

// within is a time, usually short.
func within(r *rand.Rand, d time.Duration) time.Duration {
	if r.IntN(3) > 0 {
		d /= 10
	}
	return time.Duration(1 + r.Int64N(int64(d)))
}

func (s *sim) networkFaults() []fault {
	some := func(name string, hit func(r *rand.Rand, l *link)) fault {
		return fault{name, func(r *rand.Rand) (func(), bool) {
			odds, did := 1+r.IntN(4), false
			for _, l := range s.net.some(func(*link) bool { return true }) {
				if r.IntN(odds) == 0 {
					s.net.moment()
					hit(r, l)
					did = true
				}
			}
			return nil, did
		}}
	}
	return []fault{
		some("cut", func(_ *rand.Rand, l *link) { l.cut(0) }),
		some("cut inside a frame", func(r *rand.Rand, l *link) { l.cut(1 + r.IntN(200)) }),
		some("half-open", func(r *rand.Rand, l *link) { l.stall(r.IntN(2) == 0, true) }),
		some("requests lost", func(_ *rand.Rand, l *link) { l.stall(true, false) }),
		some("slow", func(r *rand.Rand, l *link) { l.slowDown(within(r, 3*time.Second)) }),
		{"node unreachable", func(r *rand.Rand) (func(), bool) {
			address := s.nodes[r.IntN(len(s.nodes))].Addr()
			s.net.darken(address, true)
			for _, l := range s.net.some(func(l *link) bool { return l.address == address }) {
				s.net.moment()
				l.cut(0)
			}
			return func() { s.net.darken(address, false) }, true
		}},
	}
}

func (s *sim) nodeFaults() []fault {
	n := s.nodes[0]
	restart := func() bool {
		return s.net.fell(n.Addr(), func() bool { s.must(n.Restart()); return true })
	}
	return []fault{
		{"restart", func(*rand.Rand) (func(), bool) { return nil, restart() }},
		{"kill", func(*rand.Rand) (func(), bool) {
			return func() { restart() }, s.net.fell(n.Addr(), func() bool { n.Kill(); return true })
		}},
		{"pause", func(*rand.Rand) (func(), bool) {
			s.net.hold(n.Addr(), true)
			return func() { s.net.hold(n.Addr(), false) }, true
		}},
		{"silent restart", func(*rand.Rand) (func(), bool) {
			s.net.hold(n.Addr(), true)
			return func() { s.net.hold(n.Addr(), false) }, restart()
		}},
		{"node cuts", func(*rand.Rand) (func(), bool) {
			return nil, s.net.fell(n.Addr(), func() bool { return n.CutConnections() > 0 })
		}},
	}
}

func (s *sim) pairFaults() []fault {
	p := s.pair
	leader := func() *celerianttest.Node {
		if n := p.Leader(); n != nil {
			return n
		}
		return p.A()
	}
	any := func(r *rand.Rand) *celerianttest.Node { return s.nodes[r.IntN(2)] }
	kill := func(n *celerianttest.Node) bool {
		return s.net.fell(n.Addr(), func() bool { return p.Kill(n) == nil })
	}
	restart := func(n *celerianttest.Node) bool {
		return s.net.fell(n.Addr(), func() bool { s.must(p.Restart(n)); return true })
	}
	back := func(n *celerianttest.Node) func() { return func() { restart(n) } }
	return []fault{
		{"leader killed", func(*rand.Rand) (func(), bool) { n := leader(); return back(n), kill(n) }},
		{"a node killed", func(r *rand.Rand) (func(), bool) { n := any(r); return back(n), kill(n) }},
		{"a node restarted", func(r *rand.Rand) (func(), bool) { return nil, restart(any(r)) }},
		{"leader restarted", func(*rand.Rand) (func(), bool) { return nil, restart(leader()) }},
		{"leader paused", func(*rand.Rand) (func(), bool) { return s.pause(leader()) }},
		{"a node paused", func(r *rand.Rand) (func(), bool) { return s.pause(any(r)) }},
		{"silent restart", func(r *rand.Rand) (func(), bool) {
			n := any(r)
			s.net.hold(n.Addr(), true)
			return func() { s.net.hold(n.Addr(), false) }, restart(n)
		}},
		{"fenced", func(r *rand.Rand) (func(), bool) { return nil, p.Fence(any(r)) == nil }},
		{"failed over", func(*rand.Rand) (func(), bool) { return nil, p.FailOver() == nil }},
		{"link cut", func(*rand.Rand) (func(), bool) { p.CutLink(); return p.RestoreLink, true }},
		{"acknowledgements held", func(*rand.Rand) (func(), bool) { p.HoldAcks(); return p.ReleaseAcks, true }},
		{"lag frozen", func(*rand.Rand) (func(), bool) { p.FreezeLag(); return p.ThawLag, true }},
		{"lag", func(r *rand.Rand) (func(), bool) { p.SetLag(within(r, 20*time.Second)); return nil, true }},
		{"hints", func(r *rand.Rand) (func(), bool) {
			p.SetHint(pick(r, celerianttest.HintAbsent, celerianttest.HintStale, celerianttest.Hint("nowhere:1"), celerianttest.HintLive))
			return func() { p.SetHint(celerianttest.HintLive) }, true
		}},
	}
}

// pause stops a node of the pair.
func (s *sim) pause(n *celerianttest.Node) (undo func(), did bool) {
	if s.pair.Pause(n) != nil {
		return nil, false
	}
	s.net.hold(n.Addr(), true)
	return func() {
		_ = s.pair.Resume(n)
		s.net.hold(n.Addr(), false)
	}, true
}

// heal ends all that lasts.
func (s *sim) heal(undo map[string]func()) {
	for _, l := range s.net.some(func(l *link) bool { return l.slow > 0 }) {
		s.net.moment()
		l.slowDown(0)
	}
	if p := s.pair; p != nil {
		lag := func() { p.SetLag(10*time.Millisecond + 3) }
		hint := func() { p.SetHint(celerianttest.HintLive) }
		for _, end := range []func(){p.RestoreLink, p.ReleaseAcks, p.ThawLag, lag, hint} {
			s.net.moment()
			end()
		}
		for i, state := range p.State().Nodes {
			s.net.moment()
			if state.State == "down" {
				s.must(p.Restart(s.nodes[i]))
				s.net.moment()
			}
			s.must(p.Resume(s.nodes[i]))
		}
	} else {
		if undo["kill"] != nil {
			undo["kill"]()
		}
	}
	// Last, or what reaches a node that is paused is taken up in one instant.
	for _, n := range s.nodes {
		s.net.moment()
		s.net.darken(n.Addr(), false)
		s.net.hold(n.Addr(), false)
	}
	s.log.add("fault", "all healed")
}

func (s *sim) must(err error) {
	if err != nil {
		s.failf("healing: %v", err)
	}
}

// flowing tells whether changes were committed and delivered already.
func (s *sim) flowing() bool {
	s.truth.mu.Lock()
	acked := s.truth.acked
	s.truth.mu.Unlock()
	return acked > 0 && s.delivered() > 0
}

func (s *sim) delivered() (n int) {
	for _, c := range s.consumers {
		c.mu.Lock()
		for _, count := range c.counts {
			n += count
		}
		c.mu.Unlock()
	}
	return n
}

// vacuous says what did not happen in a run that should have, "" if all did.
func (s *sim) vacuous() string {
	counts := s.counts
	switch {
	case counts["faults"] < 3 || counts["faults while work was flowing"] == 0:
		return fmt.Sprintf("%d faults, %d of them while work was flowing", counts["faults"], counts["faults while work was flowing"])
	case s.truth.acked < 15:
		return fmt.Sprintf("%d batches were acknowledged", s.truth.acked)
	case s.delivered() < 15:
		return fmt.Sprintf("%d changes were delivered", s.delivered())
	}
	return ""
}
