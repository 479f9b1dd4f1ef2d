package stream

import (
	"slices"

	"github.com/celeriant/celeriant-go/msg"
)

// IsEverything reports whether the scope follows every aggregate of the store.
func (s Scope) IsEverything() bool { return s.all }

// OrgMembers returns the organisations the scope names, sorted. The slice is the
// caller's.
func (s Scope) OrgMembers() []msg.ID { return slices.Clone(s.orgs) }

// TypeMembers returns the types the scope names, sorted. The slice is the
// caller's.
func (s Scope) TypeMembers() []msg.TypeItem {
	members := make([]msg.TypeItem, len(s.types))
	for i, t := range s.types {
		members[i] = msg.TypeItem{Org: t.org, Type: t.typ}
	}
	return members
}

// AggregateMembers returns the single aggregates the scope names, sorted. The
// slice is the caller's.
func (s Scope) AggregateMembers() []msg.Key { return slices.Clone(s.keys) }
