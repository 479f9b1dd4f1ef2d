package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Scope is what a subscription follows: any union of single aggregates, types
// and organisations, or everything. The zero Scope follows nothing. Make one
// with [Aggregates], [Types], [Orgs] or [Everything], and join them with
// [Union]. A Scope is immutable.
type Scope struct {
	all   bool
	orgs  []msg.ID // each list sorted, distinct
	types []aggregateType
	keys  []msg.Key
}

// aggregateType is one type of one organisation.
type aggregateType struct{ org, typ msg.ID }

func (t aggregateType) compare(o aggregateType) int {
	if c := t.org.Compare(o.org); c != 0 {
		return c
	}
	return t.typ.Compare(o.typ)
}

// Aggregates follows single aggregates, whether they exist yet or not.
func Aggregates(keys ...msg.Key) Scope {
	return Scope{keys: distinct(keys, msg.Key.Compare)}
}

// Types follows every aggregate of the given types of one organisation, also
// those created later.
func Types(org msg.ID, types ...msg.ID) Scope {
	members := make([]aggregateType, len(types))
	for i, typ := range types {
		members[i] = aggregateType{org, typ}
	}
	return Scope{types: distinct(members, aggregateType.compare)}
}

// Orgs follows every aggregate of the given organisations, except those of the type
// [checkpoint.JournalType].
func Orgs(orgs ...msg.ID) Scope { return Scope{orgs: distinct(orgs, msg.ID.Compare)} }

// Everything follows every aggregate of the store, except those of the type
// [checkpoint.JournalType]: checkpoints that are kept in the event store. Name that
// type, or such an aggregate, to follow it.
func Everything() Scope { return Scope{all: true} }

// Union follows whatever one of the scopes follows.
func Union(scopes ...Scope) Scope {
	var u Scope
	for _, s := range scopes {
		u.all = u.all || s.all
		u.orgs = append(u.orgs, s.orgs...)
		u.types = append(u.types, s.types...)
		u.keys = append(u.keys, s.keys...)
	}
	if u.all { // only what everything leaves out counts beside it
		u.orgs = nil
		u.types = slices.DeleteFunc(u.types, func(t aggregateType) bool { return t.typ != checkpoint.JournalType() })
		u.keys = slices.DeleteFunc(u.keys, func(k msg.Key) bool { return k.Type != checkpoint.JournalType() })
	}
	u.orgs = distinct(u.orgs, msg.ID.Compare)
	u.types = distinct(u.types, aggregateType.compare)
	u.keys = distinct(u.keys, msg.Key.Compare)
	return u
}

// Without takes members away: those of s that other names too, as they are. An
// aggregate of a type that s follows is no member of s, and stays.
func (s Scope) Without(other Scope) Scope {
	return Scope{
		all:   s.all && !other.all,
		orgs:  without(s.orgs, other.orgs, msg.ID.Compare),
		types: without(s.types, other.types, aggregateType.compare),
		keys:  without(s.keys, other.keys, msg.Key.Compare),
	}
}

// Empty reports whether the scope follows nothing.
func (s Scope) Empty() bool { return !s.all && s.members() == 0 }

// check refuses a scope that follows nothing.
func (s Scope) check() error {
	if s.Empty() {
		return fmt.Errorf("stream: the scope follows nothing: name at least one member")
	}
	return nil
}

func (s Scope) members() int { return len(s.orgs) + len(s.types) + len(s.keys) }

func distinct[T comparable](members []T, compare func(T, T) int) []T {
	members = slices.Clone(members)
	slices.SortFunc(members, compare)
	return slices.Compact(members)
}

func without[T any](members, other []T, compare func(T, T) int) []T {
	return slices.DeleteFunc(slices.Clone(members), func(m T) bool {
		_, found := slices.BinarySearchFunc(other, m, compare)
		return found
	})
}

// Contains reports whether the aggregate belongs to the scope.
func (s Scope) Contains(key msg.Key) bool {
	broad := s.all || contains(s.orgs, key.Org, msg.ID.Compare)
	return broad && key.Type != checkpoint.JournalType() ||
		contains(s.types, aggregateType{key.Org, key.Type}, aggregateType.compare) ||
		contains(s.keys, key, msg.Key.Compare)
}

func contains[T comparable](sorted []T, member T, compare func(T, T) int) bool {
	if len(sorted) <= 1 {
		return len(sorted) == 1 && sorted[0] == member
	}
	_, found := slices.BinarySearchFunc(sorted, member, compare)
	return found
}

// explicit returns the single aggregates that no other member covers.
func (s Scope) explicit() []msg.Key {
	broad := s
	broad.keys = nil
	if broad.Empty() {
		return s.keys
	}
	return slices.DeleteFunc(slices.Clone(s.keys), broad.Contains)
}

// maxScopeText is the longest scope text; longer ones end in a hash.
const maxScopeText = 400

// String returns the canonical text of the scope: equal scopes have equal
// texts, whatever the order their members were given in. The text is what a
// checkpoint remembers. Long texts are shortened to a count and a SHA-256.
func (s Scope) String() string {
	if text := s.full(); len(text) <= maxScopeText {
		return text
	}
	return s.digest()
}

// digest names the kind of the scope's members, their number, and the SHA-256 of its
// text.
func (s Scope) digest() string {
	text := s.full()
	sum := sha256.Sum256([]byte(text))
	head, _, _ := strings.Cut(text, " ")
	if strings.Contains(text, "; ") {
		head = "union"
	}
	return fmt.Sprintf("%s (%d, sha256 %s)", head, s.members(), hex.EncodeToString(sum[:]))
}

// full is the text in full length.
func (s Scope) full() string {
	var parts []string
	switch {
	case s.all:
		parts = append(parts, "everything")
	case s.Empty():
		return "nothing"
	}
	if len(s.orgs) > 0 {
		parts = append(parts, "organisations"+list(s.orgs))
	}
	for types := s.types; len(types) > 0; {
		org := types[0].org
		n := 0
		for n < len(types) && types[n].org == org {
			n++
		}
		parts = append(parts, "types of "+org.String()+":"+list(project(types[:n], aggregateType.id)))
		types = types[n:]
	}
	if len(s.keys) > 0 {
		parts = append(parts, "aggregates"+list(s.keys))
	}
	return strings.Join(parts, "; ")
}

func (t aggregateType) id() msg.ID { return t.typ }

func list[T fmt.Stringer](members []T) string {
	var b strings.Builder
	for _, m := range members {
		b.WriteString(" " + m.String())
	}
	return b.String()
}
