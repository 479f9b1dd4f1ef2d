package celerianttest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/cluster"
	"github.com/celeriant/celeriant-go/celerianttest/internal/memnet"
	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
)

// Pair is two nodes of which one leads and the other follows. The pair begins
// with A leading and B following. All methods are safe for concurrent use.
//
// Nodes of a pair are killed, restarted, paused and resumed through the pair,
// which otherwise would not know; their other methods can be used as they are.
//
// Locks are taken in this order: acting, a replica's storing, mu, a replica's mu.
type Pair struct {
	opts  PairOptions
	nodes [2]*Node

	// acting serialises what is done to the nodes: their methods wait for
	// requests that wait for mu.
	acting sync.Mutex

	mu      sync.Mutex // guards what follows
	cluster cluster.Cluster
	closed  bool
	lag     time.Duration
	frozen  bool          // the follower is not told of commits
	held    bool          // the leader does not hear what the follower stored
	changed chan struct{} // closed at the next change; nil when nobody waits
	// safe is the log of each shard as far as it was acknowledged or shown: what
	// both nodes and the object store together can never lose.
	safe   [][]*shard.Record
	chance *rand.Rand

	takeover *replica.Timer
	carriers []*replica.Timer // one per shard
	states   [2]restarted
}

// restarted is what is going on at one node since it was started.
type restarted struct {
	noticing, joining *replica.Timer
	waking, thawing   *replica.Timer
	behind            bool // it shows nothing new until thawing rings
	repeats           bool // it will hold batches twice when it joins
}

// StartPair starts two nodes. StartPair fails like [Start].
func StartPair(o PairOptions) (*Pair, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	p := &Pair{opts: o, lag: o.Lag, chance: rand.New(rand.NewPCG(o.Seed, 'p'))}
	for i, address := range []string{o.Address, o.AddressB} {
		opts := o.Options
		opts.Address = address
		if p.nodes[i], err = start(opts, replica.Role{}, &share{p, i}); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	shards := p.nodes[0].opts.Shards
	p.cluster = cluster.New(p.nodes[0].Addr(), p.nodes[1].Addr())
	p.safe = make([][]*shard.Record, shards)
	p.takeover = p.timer(p.takeOver)
	for i := range shards {
		p.carriers = append(p.carriers, p.timer(func() { p.carry(i) }))
	}
	for i := range p.states {
		p.states[i] = restarted{
			noticing: p.timer(func() { p.notice(i) }), joining: p.timer(func() { p.join(i) }),
			waking: p.timer(func() { p.nodes[i].Resume() }), thawing: p.timer(func() { p.thaw(i) }),
		}
	}
	p.settle()
	return p, nil
}

// RunPair starts a pair for a test and closes it at the end of the test.
// RunPair fails the test when the pair cannot be started.
func RunPair(t TB, o PairOptions) *Pair {
	t.Helper()
	p, err := StartPair(o)
	if err != nil {
		t.Fatalf("starting a pair: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Fatalf("closing the pair: %v", err)
		}
	})
	return p
}

func (p *Pair) timer(call func()) *replica.Timer { return replica.NewTimer(&p.mu, call) }

// Close kills both nodes for good. Closing the pair again does nothing.
func (p *Pair) Close() error {
	p.acting.Lock()
	defer p.acting.Unlock()
	p.mu.Lock()
	p.closed = true
	p.stopTimers()
	p.cluster.Leading = false
	p.broadcast()
	p.mu.Unlock()
	var errs []error
	for _, n := range p.nodes {
		if n != nil {
			errs = append(errs, n.Close())
		}
	}
	return errors.Join(errs...)
}

func (p *Pair) stopTimers() {
	if p.takeover == nil {
		return // the pair did not come to life
	}
	p.takeover.Stop()
	for _, c := range p.carriers {
		c.Stop()
	}
	for _, s := range p.states {
		s.noticing.Stop()
		s.joining.Stop()
		s.waking.Stop()
		s.thawing.Stop()
	}
}

// A returns the node that leads at first.
func (p *Pair) A() *Node { return p.nodes[0] }

// B returns the node that follows at first.
func (p *Pair) B() *Node { return p.nodes[1] }

// Leader returns the node that accepts changes, nil while there is none. A
// leader that is paused stays the leader until the other node is promoted.
func (p *Pair) Leader() *Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cluster.Accepts(p.cluster.Leader) {
		return nil
	}
	return p.nodes[p.cluster.Leader]
}

// Follower returns the node that gets every batch of the leader, nil while
// there is none.
func (p *Pair) Follower() *Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range p.cluster.Members {
		if m.Following {
			return p.nodes[i]
		}
	}
	return nil
}

// Peer returns the other node.
func (p *Pair) Peer(n *Node) *Node {
	if n == p.nodes[0] {
		return p.nodes[1]
	}
	return p.nodes[0]
}

// DialContext connects, through memory, to the node with the address, in the
// form client libraries take a dialler in. An address of neither node is
// refused with syscall.ECONNREFUSED, like a node that is down.
func (p *Pair) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	for _, n := range p.nodes {
		if n.Addr() == address {
			return n.Dial(ctx)
		}
	}
	return nil, &net.OpError{Op: "dial", Net: memnet.Network, Addr: memnet.Addr(address), Err: syscall.ECONNREFUSED}
}

// AwaitLeader waits for a leader that works and returns it.
func (p *Pair) AwaitLeader(ctx context.Context) (*Node, error) {
	if err := p.await(ctx, func() bool { return p.cluster.Led() }); err != nil {
		return nil, &PairError{"waiting for a leader", err.Error()}
	}
	return p.Leader(), nil
}

// AwaitSettled waits until one node leads and the other one follows and shows
// all that the leader shows.
func (p *Pair) AwaitSettled(ctx context.Context) error {
	if err := p.await(ctx, p.settled); err != nil {
		return &PairError{"waiting for the pair to settle", err.Error()}
	}
	return nil
}

func (p *Pair) settled() bool {
	if !p.cluster.Led() || !p.cluster.Members[1-p.cluster.Leader].Following {
		return false
	}
	for i := range p.carriers {
		if p.committed(1-p.cluster.Leader, i) < p.committed(p.cluster.Leader, i) {
			return false
		}
	}
	return true
}

// await waits until something holds. The condition is asked for with mu held.
func (p *Pair) await(ctx context.Context, holds func() bool) error {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return ErrClosed
		}
		done, changed := holds(), p.change()
		p.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// change returns what is closed at the next change. The caller holds mu.
func (p *Pair) change() <-chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// broadcast wakes whoever waits for a change. The caller holds mu.
func (p *Pair) broadcast() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}
