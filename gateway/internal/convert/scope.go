package convert

import (
	"errors"
	"fmt"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Scope reads a scope of at most limit members.
func Scope(s *pb.Scope, limit int) (stream.Scope, error) {
	if s == nil {
		return stream.Scope{}, errors.New("scope is missing")
	}
	members := len(s.Aggregates) + len(s.Types) + len(s.Orgs)
	switch {
	case s.Everything && members > 0:
		return stream.Scope{}, errors.New("scope names everything and single members: want one or the other")
	case s.Everything:
		return stream.Everything(), nil
	case members == 0:
		return stream.Scope{}, errors.New("scope follows nothing: name at least one member")
	case members > limit:
		return stream.Scope{}, fmt.Errorf("scope has %d members: want at most %d", members, limit)
	}
	keys, err := Keys("scope.aggregates", s.Aggregates, limit)
	if err != nil {
		return stream.Scope{}, err
	}
	scopes := []stream.Scope{stream.Aggregates(keys...)}
	orgs := make([]msg.ID, len(s.Orgs))
	for i := range s.Orgs {
		if orgs[i], err = ID(fmt.Sprintf("scope.orgs[%d]", i), s.Orgs[i]); err != nil {
			return stream.Scope{}, err
		}
	}
	scopes = append(scopes, stream.Orgs(orgs...))
	for i, t := range s.Types {
		org, err := ID(fmt.Sprintf("scope.types[%d].org", i), t.GetOrg())
		if err != nil {
			return stream.Scope{}, err
		}
		typ, err := ID(fmt.Sprintf("scope.types[%d].type", i), t.GetType())
		if err != nil {
			return stream.Scope{}, err
		}
		scopes = append(scopes, stream.Types(org, typ))
	}
	return stream.Union(scopes...), nil
}

// ScopeMessage returns the message of a scope.
func ScopeMessage(s stream.Scope) *pb.Scope {
	out := &pb.Scope{Everything: s.IsEverything(), Aggregates: KeyMessages(s.AggregateMembers())}
	for _, org := range s.OrgMembers() {
		out.Orgs = append(out.Orgs, IDBytes(org))
	}
	for _, t := range s.TypeMembers() {
		out.Types = append(out.Types, &pb.Scope_TypeOfOrg{Org: IDBytes(t.Org), Type: IDBytes(t.Type)})
	}
	return out
}
