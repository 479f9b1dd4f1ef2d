package simulation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// network connects clients with nodes. Each delivery takes a time of its own;
// connections can be cut, slowed and made to lose one direction.
type network struct {
	when  *instants
	log   *recorder
	nodes map[string]*celerianttest.Node
	work  sync.WaitGroup // of all connections

	mu      sync.Mutex
	dialled int
	links   []*link // that are open, in the order of dialling
	dark    map[string]bool
	holding map[string]bool
}

func newNetwork(when *instants, log *recorder, nodes ...*celerianttest.Node) *network {
	n := &network{when: when, log: log, nodes: make(map[string]*celerianttest.Node), dark: make(map[string]bool), holding: make(map[string]bool)}
	for _, node := range nodes {
		n.nodes[node.Addr()] = node
	}
	return n
}

// dialler returns what a client of that name dials with.
func (n *network) dialler(who string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		if err := n.when.doze(ctx, 20*time.Microsecond, 300*time.Microsecond, "dial", who, address, ctx.Value(purpose{})); err != nil {
			return nil, err
		}
		n.mu.Lock()
		dark := n.dark[address]
		n.mu.Unlock()
		node := n.nodes[address]
		switch {
		case dark: // packets are lost: nobody answers
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case node == nil:
			return nil, &net.OpError{Op: "dial", Net: "simulated", Err: syscall.EHOSTUNREACH}
		}
		far, err := node.Dial(ctx)
		if err != nil {
			return nil, err
		}
		return n.open(who, address, far), nil
	}
}

func (n *network) open(who, address string, far net.Conn) *link {
	n.mu.Lock()
	n.dialled++
	l := &link{net: n, far: far, who: who, address: address, number: n.dialled, held: n.holding[address]}
	n.links = append(n.links, l)
	n.mu.Unlock()
	l.changed.L = &l.mu
	l.life, l.die = context.WithCancel(context.Background())
	chance := rand.New(rand.NewPCG(n.when.seed, uint64(l.number)<<8|'n'))
	l.up = newPipe(fmt.Sprintf("link %d up", l.number), chance.Uint64())
	l.down = newPipe(fmt.Sprintf("link %d down", l.number), chance.Uint64())
	l.note("opened")
	n.work.Go(l.pumpUp)
	n.work.Go(l.pumpFar)
	n.work.Go(l.pumpDown)
	return l
}

func (n *network) forget(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, open := range n.links {
		if open == l {
			n.links = append(n.links[:i:i], n.links[i+1:]...)
			return
		}
	}
}

// some returns the open links that pass a filter, in the order of dialling.
func (n *network) some(pass func(*link) bool) []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []*link
	for _, l := range n.links {
		if pass(l) {
			found = append(found, l)
		}
	}
	return found
}

// moment lets a little time pass, so that what is done to several connections is
// not done to them in one instant.
func (n *network) moment() {
	n.when.sleep(n.when.delay(time.Microsecond, 5*time.Microsecond, "moment"), "moment")
}

// purpose is the key of a context's value that says what a connection is dialled
// for. Callers that waited for the same leader go on in the same instant.
type purpose struct{}

// hold makes a node seem to do nothing: connections to it are opened, and nothing
// travels on any. Letting go, everything goes on at an instant of its own; a node
// that is stopped by itself wakes with all its connections at once, and in which
// order it then takes requests is anybody's guess.
func (n *network) hold(address string, held bool) {
	n.mu.Lock()
	n.holding[address] = held
	n.mu.Unlock()
	for _, l := range n.some(func(l *link) bool { return l.address == address }) {
		l.mu.Lock()
		l.held = held
		l.changed.Broadcast()
		l.mu.Unlock()
	}
}

// fell does something that ends all connections to a node. Bytes that the node sends
// in that instant do not travel: its requests and its sockets end in any order.
// Then each connection ends at an instant of its own.
func (n *network) fell(address string, do func() bool) bool {
	links := n.some(func(l *link) bool { return l.address == address })
	for _, l := range links {
		l.deafen()
	}
	did := do()
	for _, l := range links {
		n.moment()
		l.hangUp()
	}
	return did
}

func (n *network) darken(address string, dark bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dark[address] = dark
}
