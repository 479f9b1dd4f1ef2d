package celerianttest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// TestPairStorm does everything that can be done to a pair, at random, under
// writers that send again what they got no answer to, readers and watches of
// both nodes. In the end every acknowledged write is there exactly once, in
// the order it was sent, and nothing that a read or a watch ever showed has
// disappeared or changed.
func TestPairStorm(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			o := celerianttest.PairOptions{NoFallback: seed%3 == 0}
			o.Seed, o.Quirks, o.Shards = seed, seed%2 == 1, int(1+seed%4)
			if seed%4 == 2 {
				o.CommitDelay = 5 * time.Millisecond
			}
			inPair(t, o, func(t *testing.T, p *celerianttest.Pair) { newStorm(t, p, seed).run() })
		})
	}
}

const (
	stormWriters = 4
	stormTime    = 30 * time.Second
)

type storm struct {
	t     *testing.T
	pair  *celerianttest.Pair
	seed  uint64
	ctx   context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu      sync.Mutex
	acked   [stormWriters]int
	shown   [stormWriters]map[uint64]string // by version
	told    [stormWriters]uint64            // highest version a watch told of
	actions map[string]int
	leaders int // changes of the leader
}

func newStorm(t *testing.T, p *celerianttest.Pair, seed uint64) *storm {
	s := &storm{t: t, pair: p, seed: seed, actions: make(map[string]int)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for i := range s.shown {
		s.shown[i] = make(map[uint64]string)
	}
	return s
}

func (s *storm) run() {
	for i := range stormWriters {
		s.tasks.Go(func() { s.write(i) })
	}
	for i, n := range []*celerianttest.Node{s.pair.A(), s.pair.B()} {
		s.tasks.Go(func() { s.read(n, rand.New(rand.NewPCG(s.seed, uint64(i)))) })
		for w := range stormWriters {
			s.tasks.Go(func() { s.watch(n, w) })
		}
	}
	s.wreck()
	time.Sleep(10 * time.Second) // in peace
	s.stop()
	s.tasks.Wait()
	settled(s.t, s.pair)
	s.check(s.pair.A())
	s.check(s.pair.B())
	total := 0
	for _, n := range s.acked {
		total += n
	}
	if total < 200 || s.leaders < 2 || len(s.actions) < 8 {
		s.t.Errorf("%d writes, %d changes of the leader, %v: no storm", total, s.leaders, s.actions)
	}
}

// wreck does what can be done to the nodes, and in the end undoes it.
func (s *storm) wreck() {
	chance := rand.New(rand.NewPCG(s.seed, 'b'))
	p := s.pair
	nodes := []*celerianttest.Node{p.A(), p.B()}
	last := p.Leader()
	for end := time.Now().Add(stormTime); time.Now().Before(end); {
		time.Sleep(time.Duration(chance.IntN(800)) * time.Millisecond)
		n := nodes[chance.IntN(2)]
		actions := []struct {
			name string
			do   func()
		}{
			{"kill", func() { _ = p.Kill(n) }},
			{"restart", func() { _ = p.Restart(n) }},
			{"restart", func() { _ = p.Restart(n) }},
			{"pause", func() { _ = p.Pause(n) }}, // a dead node cannot be paused
			{"resume", func() { _ = p.Resume(n) }},
			{"resume", func() { _ = p.Resume(n) }},
			{"fence", func() { _ = p.Fence(n) }},
			{"fail over", func() { _ = p.FailOver() }}, // and not lead
			{"cut", p.CutLink},
			{"restore", p.RestoreLink},
			{"hold", p.HoldAcks},
			{"release", p.ReleaseAcks},
			{"release", p.ReleaseAcks},
			{"freeze", p.FreezeLag},
			{"thaw", p.ThawLag},
			{"lag", func() { p.SetLag(time.Duration(chance.IntN(500)-100) * time.Millisecond) }},
			{"connections", func() { n.CutConnections() }},
		}
		action := actions[chance.IntN(len(actions))]
		s.actions[action.name]++
		action.do()
		if now := p.Leader(); now != nil && now != last {
			last = now
			s.leaders++
		}
	}
	p.RestoreLink()
	p.ReleaseAcks()
	p.ThawLag()
	for i, state := range p.State().Nodes {
		if state.State == "down" {
			done(s.t, p.Restart(nodes[i]))
		}
		done(s.t, p.Resume(nodes[i]))
	}
}

// try makes one exchange on a connection of its own; nil if there was no answer.
func (s *storm) try(n *celerianttest.Node, req msg.Request) msg.Response {
	socket, err := n.Dial(s.ctx)
	if err != nil {
		return nil
	}
	defer socket.Close()
	defer context.AfterFunc(s.ctx, func() { socket.Close() })()
	_ = socket.SetDeadline(time.Now().Add(time.Second))
	resp, err := exchange(socket, req)
	if err != nil {
		return nil
	}
	return resp
}

// write sends numbers, each until it is known to be stored, to either node.
func (s *storm) write(number int) {
	nodes := []*celerianttest.Node{s.pair.A(), s.pair.B()}
	target := 0
	for seq := uint64(1); s.ctx.Err() == nil; {
		req := writeTo(key(uint64(number)), event(seq, fmt.Sprint(seq)))
		req.Writes[0].EnforceIdempotency = true
		stored := false
		switch resp := s.try(nodes[target], req).(type) {
		case *msg.WriteResponse:
			stored = true
		case *msg.ErrorResponse:
			stored = resp.Code == msg.CodeDuplicate
			if resp.Code == msg.CodeWriteNotLeader {
				target = 1 - target
			}
		default:
			target = 1 - target
		}
		if stored {
			s.mu.Lock()
			s.acked[number] = int(seq)
			s.mu.Unlock()
			seq++
		}
		pauseFor(s.ctx, 30*time.Millisecond)
	}
}

// read notes what a node shows, and that it never shows less than it did.
func (s *storm) read(n *celerianttest.Node, chance *rand.Rand) {
	var seen [stormWriters]uint64
	for ; s.ctx.Err() == nil; pauseFor(s.ctx, 40*time.Millisecond) {
		number := chance.IntN(stormWriters)
		from := uint64(1)
		if chance.IntN(10) > 0 && seen[number] > 1 {
			from = seen[number]
		}
		page, ok := s.try(n, readFrom(key(uint64(number)), from)).(*msg.ReadResponse)
		if !ok {
			continue
		}
		last := uint64(0)
		for _, b := range page.Batches {
			s.note(number, b)
			last = max(last, b.Version)
		}
		if last < seen[number] && !page.NextVersion.Set {
			s.t.Errorf("a node showed version %d of %d, and then %d", seen[number], number, last)
		}
		seen[number] = max(seen[number], last)
	}
}

func (s *storm) note(number int, b msg.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := string(b.Events[0].Value)
	if before, known := s.shown[number][b.Version]; known && before != text {
		s.t.Errorf("version %d of %d was shown as %q and as %q", b.Version, number, before, text)
	}
	s.shown[number][b.Version] = text
}

// watch notes what a node tells of an aggregate: on one connection every
// version once, in order.
func (s *storm) watch(n *celerianttest.Node, number int) {
	for ; s.ctx.Err() == nil; pauseFor(s.ctx, 100*time.Millisecond) {
		socket, err := n.Dial(s.ctx)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(s.ctx, func() { socket.Close() })
		s.follow(socket, number)
		stop()
		socket.Close()
	}
}

func (s *storm) follow(socket net.Conn, number int) {
	resp, err := exchange(socket, &msg.WatchRequest{Aggregates: []msg.ID{id(uint64(number))}})
	last := uint64(0)
	for ; err == nil; resp, err = nextFrame(socket) {
		frame, ok := resp.(*msg.WatchResponse)
		if !ok {
			return
		}
		for _, told := range frame.Notifications {
			if told.Operation != msg.OpWrite {
				continue
			}
			if last > 0 && told.From.Value != last+1 {
				s.t.Errorf("a watch told of version %d after %d", told.From.Value, last)
			}
			last = told.To.Value
			s.mu.Lock()
			s.told[number] = max(s.told[number], last)
			s.mu.Unlock()
		}
	}
}

// check compares what a node shows in the end with everything that was
// acknowledged and shown before.
func (s *storm) check(n *celerianttest.Node) {
	for number := range stormWriters {
		var all []string
		page, ok := dial(s.t, n).call(readFrom(key(uint64(number)), 1)).(*msg.ReadResponse)
		if !ok {
			s.t.Errorf("writer %d: nothing is left", number)
			continue
		}
		batches := slices.CompactFunc(page.Batches, func(a, b msg.Batch) bool { return a.Version == b.Version })
		for i, b := range batches {
			s.note(number, b)
			if b.Version != uint64(i+1) || string(b.Events[0].Value) != fmt.Sprint(i+1) {
				s.t.Fatalf("writer %d: version %d holds %q in place %d", number, b.Version, b.Events[0].Value, i+1)
			}
			all = append(all, string(b.Events[0].Value))
		}
		if len(all) < s.acked[number] || len(all) > s.acked[number]+1 {
			s.t.Errorf("writer %d: %d batches, %d acknowledged", number, len(all), s.acked[number])
		}
		if uint64(len(all)) < s.told[number] || len(all) < len(s.shown[number]) {
			s.t.Errorf("writer %d: %d batches, told of %d, shown %d", number, len(all), s.told[number], len(s.shown[number]))
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
