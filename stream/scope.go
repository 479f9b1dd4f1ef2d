package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/celeriant/celeriant-go/msg"
)

// Scope is what a subscription follows. The zero Scope is empty and refused;
// make one with [Aggregates], [Types], [Orgs] or [Everything]. A Scope is
// immutable.
type Scope struct {
	kind  scopeKind
	orgs  []msg.ID // sorted, distinct
	types []msg.ID
	keys  []msg.Key
}

type scopeKind uint8

const (
	scopeEmpty scopeKind = iota
	scopeAggregates
	scopeTypes
	scopeOrgs
	scopeEverything
)

// Aggregates follows single aggregates, whether they exist yet or not.
func Aggregates(keys ...msg.Key) Scope {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, msg.Key.Compare)
	return Scope{kind: scopeAggregates, keys: slices.Compact(keys)}
}

// Types follows every aggregate of the given types of one organisation, also
// those created later.
func Types(org msg.ID, types ...msg.ID) Scope {
	return Scope{kind: scopeTypes, orgs: []msg.ID{org}, types: distinct(types)}
}

// Orgs follows every aggregate of the given organisations.
func Orgs(orgs ...msg.ID) Scope { return Scope{kind: scopeOrgs, orgs: distinct(orgs)} }

// Everything follows every aggregate of the store.
func Everything() Scope { return Scope{kind: scopeEverything} }

func distinct(ids []msg.ID) []msg.ID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, msg.ID.Compare)
	return slices.Compact(ids)
}

// Contains reports whether the aggregate belongs to the scope.
func (s Scope) Contains(key msg.Key) bool {
	switch s.kind {
	case scopeAggregates:
		_, found := slices.BinarySearchFunc(s.keys, key, msg.Key.Compare)
		return found
	case scopeTypes:
		return key.Org == s.orgs[0] && contains(s.types, key.Type)
	case scopeOrgs:
		return contains(s.orgs, key.Org)
	case scopeEverything:
		return true
	}
	return false
}

func contains(sorted []msg.ID, id msg.ID) bool {
	if len(sorted) == 1 {
		return sorted[0] == id
	}
	_, found := slices.BinarySearchFunc(sorted, id, msg.ID.Compare)
	return found
}

// explicit returns the members of a scope of single aggregates, nil otherwise.
func (s Scope) explicit() []msg.Key {
	if s.kind != scopeAggregates {
		return nil
	}
	return s.keys
}

// check refuses scopes that follow nothing.
func (s Scope) check() error {
	empty := false
	switch s.kind {
	case scopeEmpty:
		empty = true
	case scopeAggregates:
		empty = len(s.keys) == 0
	case scopeTypes:
		empty = len(s.types) == 0
	case scopeOrgs:
		empty = len(s.orgs) == 0
	}
	if empty {
		return fmt.Errorf("stream: the scope %v follows nothing: name at least one member", s)
	}
	return nil
}

// maxScopeText is the longest scope text; longer ones end in a hash.
const maxScopeText = 400

// String returns the canonical text of the scope: equal scopes have equal
// texts, whatever the order their members were given in. It is what a
// checkpoint remembers. Long texts are shortened to a count and a SHA-256.
func (s Scope) String() string {
	var b strings.Builder
	var members int
	switch s.kind {
	case scopeEmpty:
		return "nothing"
	case scopeEverything:
		return "everything"
	case scopeAggregates:
		b.WriteString("aggregates")
		members = len(s.keys)
		for _, k := range s.keys {
			b.WriteString(" " + k.String())
		}
	case scopeTypes:
		b.WriteString("types of " + s.orgs[0].String() + ":")
		members = len(s.types)
		for _, id := range s.types {
			b.WriteString(" " + id.String())
		}
	case scopeOrgs:
		b.WriteString("organisations")
		members = len(s.orgs)
		for _, id := range s.orgs {
			b.WriteString(" " + id.String())
		}
	}
	text := b.String()
	if len(text) <= maxScopeText {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	head, _, _ := strings.Cut(text, " ")
	return fmt.Sprintf("%s (%d, sha256 %s)", strings.TrimSuffix(head, ":"), members, hex.EncodeToString(sum[:]))
}
