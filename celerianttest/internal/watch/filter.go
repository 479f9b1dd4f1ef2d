package watch

import "github.com/celeriant/celeriant-go/msg"

// Filter tells which notifications a subscriber asked for: AND over the
// categories, OR inside a set, a nil set restricts nothing and an empty one
// matches nothing. Server semantics 7.2.
type Filter struct {
	orgs, types, aggregates map[msg.ID]struct{}
	operations              map[msg.Operation]struct{}
}

// NewFilter returns the filter of a watch request.
func NewFilter(r *msg.WatchRequest) *Filter {
	return &Filter{
		orgs:       set(r.Orgs),
		types:      set(r.Types),
		aggregates: set(r.Aggregates),
		operations: set(r.Operations),
	}
}

func set[T comparable](members []T) map[T]struct{} {
	if members == nil {
		return nil
	}
	s := make(map[T]struct{}, len(members))
	for _, m := range members {
		s[m] = struct{}{}
	}
	return s
}

// Match reports whether the subscriber asked for n.
func (f *Filter) Match(n *msg.Notification) bool {
	return in(f.operations, n.Operation) && in(f.orgs, n.Key.Org) &&
		in(f.types, n.Key.Type) && in(f.aggregates, n.Key.Aggregate)
}

func in[T comparable](s map[T]struct{}, member T) bool {
	if s == nil {
		return true
	}
	_, ok := s[member]
	return ok
}
