package gateway_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
)

// group judges what the members of a name are given.
type group struct {
	t  *testing.T
	mu sync.Mutex
	// handled are the positions behind what some member has handled, seen the versions.
	handled map[msg.Key]map[string]bool
	seen    map[msg.Key]map[uint64]bool
	by      map[string]int // batches, by member
}

func newGroup(t *testing.T) *group {
	return &group{t: t, handled: make(map[msg.Key]map[string]bool), seen: make(map[msg.Key]map[uint64]bool), by: make(map[string]int)}
}

// tenure is where a member stands in an aggregate of a partition that it has.
type tenure struct {
	partition uint32
	cursor    string
}

// follow handles what a member is given until its gateway ends. Within a tenure each
// change follows the one before; a tenure begins behind what somebody has handled.
func (g *group) follow(address, member string) {
	r := (&world{t: g.t, address: address}).mustOpen(named("orders", member))
	standing := make(map[msg.Key]tenure)
	for {
		m, err := r.stream.Recv()
		if err != nil {
			return
		}
		if revoked := m.GetRevoked(); revoked != nil {
			for key, at := range standing {
				if at.partition == revoked.Partition {
					delete(standing, key)
				}
			}
		}
		changes := m.GetChanges()
		if changes == nil {
			continue
		}
		for _, c := range changes.Changes {
			if c.GetBatch() != nil {
				g.handle(member, standing, c)
			}
		}
		done := &pb.Range{First: changes.FirstDelivery, Last: changes.FirstDelivery + uint64(len(changes.Changes)) - 1}
		if r.stream.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Handled{Handled: &pb.Handled{Deliveries: []*pb.Range{done}}}}) != nil {
			return
		}
	}
}

func (g *group) handle(member string, standing map[msg.Key]tenure, c *pb.Change) {
	key, err := convert.Key("key", c.Key)
	if err != nil {
		g.t.Error(err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.handled[key] == nil {
		g.handled[key], g.seen[key] = make(map[string]bool), make(map[uint64]bool)
	}
	at, stands := standing[key]
	switch previous := string(c.Previous); {
	case stands && previous != at.cursor:
		g.t.Errorf("%s: version %d of %v does not follow what came before", member, c.GetBatch().Version, key)
	case !stands && previous != "" && !g.handled[key][previous]:
		g.t.Errorf("%s: version %d of %v begins behind what nobody has handled", member, c.GetBatch().Version, key)
	}
	standing[key] = tenure{c.Partition, string(c.Cursor)}
	g.handled[key][string(c.Cursor)], g.seen[key][c.GetBatch().Version] = true, true
	g.by[member]++
}

// missing says which version of which aggregate nobody was given.
func (g *group) missing(aggregates, versions uint64) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for n := range aggregates {
		for v := range versions {
			if !g.seen[keyOf(n+1)][v+1] {
				return fmt.Sprintf("version %d of aggregate %d; the members handled %v", v+1, n+1, g.by)
			}
		}
	}
	return ""
}

func (g *group) handledBy(member string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.by[member]
}

// Members share a name over two gateways of which one is killed, while its member has
// deliveries that are not acknowledged: the others take over behind what was
// handled, and no batch is lost.
//
//covers:g20 killed
func TestMembersOutliveAKilledGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Options{})
	var processes []*process
	for range 2 {
		p, err := startProcess(w.node.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		processes = append(processes, p)
	}
	const aggregates = 20
	versions := uint64(0)
	write := func() {
		versions++
		for n := range uint64(aggregates) {
			w.write(n+1, "x")
		}
	}
	g := newGroup(t)
	var members sync.WaitGroup
	for i, p := range processes {
		members.Go(func() { g.follow(p.address, fmt.Sprint("member ", i)) })
	}
	defer members.Wait()
	defer processes[1].kill()
	defer processes[0].kill()
	for g.handledBy("member 0") == 0 || g.handledBy("member 1") == 0 { // until both have a share
		write()
		waitFor(t, func() bool { return g.missing(aggregates, versions) == "" }, func() string { return g.missing(aggregates, versions) })
	}
	write()
	processes[0].kill()
	write()
	waitFor(t, func() bool { return g.missing(aggregates, versions) == "" }, func() string { return g.missing(aggregates, versions) })
}
