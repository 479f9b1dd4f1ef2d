package pool

import (
	"errors"
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// walk is one visit to all nodes known, each once, the preferred one first. A
// node that another one names as the leader comes next; that it is visited
// only once ends loops of hints. Nodes that could not be connected to the last time
// come last: a silent one would keep the caller from those behind it for a
// ConnectTimeout.
type walk struct {
	ahead   []*node // hinted at, next first
	rest    []*node
	late    []*node
	visited []*node
}

func newWalk(p *Pool, first *node) *walk {
	w := &walk{rest: p.nodes()}
	if first != nil {
		w.ahead = []*node{first}
	}
	return w
}

// next returns the next node, nil when all were visited.
func (w *walk) next() *node {
	for {
		var n *node
		switch {
		case len(w.ahead) > 0:
			n, w.ahead = w.ahead[0], w.ahead[1:]
		case len(w.rest) > 0:
			if n, w.rest = w.rest[0], w.rest[1:]; n.breaker.failing() {
				w.late = append(w.late, n)
				continue
			}
		case len(w.late) > 0:
			n, w.late = w.late[0], w.late[1:]
		default:
			return nil
		}
		if !slices.Contains(w.visited, n) {
			w.visited = append(w.visited, n)
			return n
		}
	}
}

// follow puts the node that a not-leader answer names next; false when the
// error is no such answer.
func (w *walk) follow(p *Pool, err error) bool {
	var refusal *msg.ServerError
	if !errors.As(err, &refusal) || !errors.Is(refusal, msg.ErrNotLeader) {
		return false
	}
	if n := p.hinted(refusal); n != nil {
		w.ahead = append([]*node{n}, w.ahead...)
	}
	return true
}
