package cluster

import (
	"slices"

	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// maxHops is how many hints one walk follows.
const maxHops = 8

// walk is one visit to all members, each once, the preferred one first. A node that
// another one names as the leader comes next. Nodes that could not be connected to the
// last time, or have left a request unanswered, come last.
type walk struct {
	cluster *Cluster
	ahead   []*member // named by others, next first
	rest    []*member
	late    []*member
	visited []*member
	hops    int
}

func (c *Cluster) newWalk(first *member) *walk {
	w := &walk{cluster: c, rest: c.nodes()}
	if first != nil {
		w.ahead = []*member{first}
	}
	return w
}

// next returns the next member, nil when all were visited.
func (w *walk) next() *member {
	for {
		var m *member
		switch {
		case len(w.ahead) > 0:
			m, w.ahead = w.ahead[0], w.ahead[1:]
		case len(w.rest) > 0:
			if m, w.rest = w.rest[0], w.rest[1:]; m.doubtful() {
				w.late = append(w.late, m)
				continue
			}
		case len(w.late) > 0:
			m, w.late = w.late[0], w.late[1:]
		default:
			return nil
		}
		if !slices.Contains(w.visited, m) {
			w.visited = append(w.visited, m)
			return m
		}
	}
}

// doubtful reports whether others are asked first.
func (m *member) doubtful() bool { return m.Failing() || m.silent.Load() }

// follow puts the node that an attempt at m has named next.
func (w *walk) follow(m *member, a conn.Attempt) {
	if w.hops >= maxHops {
		return
	}
	if named := w.cluster.hinted(m, a.Err); named != nil {
		w.hops++
		w.ahead = append([]*member{named}, w.ahead...)
	}
}

// reliableFirst returns members in their order, those that are doubtful last. Of these
// it is found out in the background whether they have come back.
func (c *Cluster) reliableFirst(members []*member) []*member {
	ordered := make([]*member, 0, len(members))
	var late []*member
	for _, m := range members {
		if !m.doubtful() {
			ordered = append(ordered, m)
			continue
		}
		late = append(late, m)
	}
	if len(ordered) > 0 {
		for _, m := range late {
			c.probeInBackground(m)
		}
	}
	return append(ordered, late...)
}
