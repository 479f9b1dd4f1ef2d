package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// peers is a source that can ask each node of the cluster for itself.
type peers interface {
	// Nodes returns the addresses of all nodes, as far as they are known.
	Nodes() []string
	// Details returns what a node shows of an aggregate.
	Details(ctx context.Context, node string, key msg.Key) (*msg.DetailsResponse, error)
}

// hiddenFor is how long nodes that do not tell who leads are not asked again before
// something that needs the leader's word.
const hiddenFor = time.Minute

// agreement stands in for the leader's word where no node tells whether it leads: a key
// that may only read may not ask. The nodes show one log, each as far as it has come,
// and the leader is one of them. So a node that shows at least what every node has shown
// before answers as the leader would have at that moment. An agreement takes the answers
// of all nodes: any that is silent may be the one ahead.
type agreement struct {
	src    Source
	peers  peers
	hidden atomic.Int64 // when a node last did not tell, in Unix nanoseconds
}

func newAgreement(src Source) *agreement {
	a := &agreement{src: src}
	for {
		if p, ok := src.(peers); ok {
			a.peers = p
			return a
		}
		shared, ok := src.(interface{ Unwrap() Source })
		if !ok {
			return a
		}
		src = shared.Unwrap()
	}
}

// noteHidden notes that a node has answered and does not tell whether it leads.
func (a *agreement) noteHidden() { a.hidden.Store(time.Now().UnixNano()) }

// needed reports whether no node told lately who leads, and there are several to ask.
func (a *agreement) needed() bool {
	at := a.hidden.Load()
	return at != 0 && time.Since(time.Unix(0, at)) < hiddenFor && a.peers != nil && len(a.peers.Nodes()) > 1
}

// disagreement is why there is no word in the leader's place.
func disagreement(cause error) error {
	return fmt.Errorf("%w, and so all of them must show the same: %w", engine.ErrLeadershipUnknown, cause)
}

// errDiffer: of two nodes each shows something that the other does not.
var errDiffer = errors.New("they differ, and neither is ahead")

// node returns the node whose answer about an aggregate counts from now on; of equal
// ones the one preferred.
func (a *agreement) node(ctx context.Context, key msg.Key, preferred string) (string, error) {
	nodes := a.nodes(preferred)
	all, err := a.standings(ctx, nodes, key)
	if err != nil {
		return "", disagreement(err)
	}
	best := 0
	for i := range all {
		switch relate(all[best], all[i]) {
		case behind:
			best = i
		case unclear:
			return "", disagreement(errDiffer)
		}
	}
	return nodes[best], nil
}

// page returns the first page of a list, by the node whose list counts.
func (a *agreement) page(ctx context.Context, req *msg.ListAggregatesRequest) (string, *msg.ListAggregatesResponse, error) {
	nodes := a.nodes("")
	pages := make([]*msg.ListAggregatesResponse, len(nodes))
	err := everywhere(nodes, func(i int, node string) (err error) {
		pages[i], err = a.src.ListAggregatesPage(ctx, node, req)
		return err
	})
	if err != nil {
		return "", nil, disagreement(err)
	}
	best, later := 0, false
	for i := 1; i < len(nodes); i++ {
		r, doubtful := relatePages(pages[best].Aggregates, pages[i].Aggregates)
		if len(doubtful) > 0 {
			later = true
			if r, err = a.resolve(ctx, []string{nodes[best], nodes[i]}, doubtful); err != nil {
				return "", nil, disagreement(err)
			}
		}
		switch r {
		case behind:
			best = i
		case unclear:
			return "", nil, disagreement(errDiffer)
		}
	}
	if !later {
		return nodes[best], pages[best], nil
	}
	// The node may have come to show its newest aggregates after it sent its page.
	page, err := a.src.ListAggregatesPage(ctx, nodes[best], req)
	return nodes[best], page, err
}

// resolve asks two nodes for aggregates that their lists left in doubt. One that differs
// tells.
func (a *agreement) resolve(ctx context.Context, nodes []string, doubtful []msg.Key) (relation, error) {
	result := equal
	for _, key := range doubtful {
		s, err := a.standings(ctx, nodes, key)
		if err != nil {
			return unclear, err
		}
		switch r := relate(s[0], s[1]); r {
		case ahead, behind:
			return r, nil
		case unclear:
			result = unclear
		}
	}
	return result, nil
}

// nodes returns all nodes, the preferred one first.
func (a *agreement) nodes(preferred string) []string {
	var nodes []string
	for _, node := range a.peers.Nodes() {
		nodes = append(nodes, node)
		if node == preferred {
			last := len(nodes) - 1
			nodes[0], nodes[last] = nodes[last], nodes[0]
		}
	}
	return nodes
}

// standings asks nodes for an aggregate.
func (a *agreement) standings(ctx context.Context, nodes []string, key msg.Key) ([]standing, error) {
	all := make([]standing, len(nodes))
	err := everywhere(nodes, func(i int, node string) error {
		d, err := a.peers.Details(ctx, node, key)
		switch {
		case err == nil:
			all[i] = standingOf(d)
		case errors.Is(err, msg.ErrNotFound):
		default:
			return err
		}
		return nil
	})
	return all, err
}

// everywhere asks all nodes at the same time; the error is the first one's in their
// order. A call that panics panics here.
func everywhere(nodes []string, ask func(i int, node string) error) error {
	errs := make([]error, len(nodes))
	panics := make([]any, len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes[1:] {
		errs[i+1] = errExited
		all.Go(func() {
			defer func() { panics[i+1] = recover() }()
			errs[i+1] = ask(i+1, node)
		})
	}
	func() {
		defer all.Wait()
		errs[0] = ask(0, nodes[0])
	}()
	for i, err := range errs {
		switch {
		case panics[i] != nil:
			panic(panics[i])
		case err != nil:
			return err
		}
	}
	return nil
}
