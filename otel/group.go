package otel

import "sync"

// mostGroups bounds the values of messaging.consumer.group.name.
const (
	mostGroups = 200
	otherGroup = "_other"
)

// groups gives each subscription's name its value as an attribute. The type is safe for
// concurrent use.
type groups struct {
	mu    sync.Mutex
	known map[string]bool
}

// value returns the name, or "_other" once 200 other names are known.
func (g *groups) value(name string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known[name] {
		return name
	}
	if len(g.known) >= mostGroups {
		return otherGroup
	}
	if g.known == nil {
		g.known = make(map[string]bool)
	}
	g.known[name] = true
	return name
}
