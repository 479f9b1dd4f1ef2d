package stream_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// The members of a scope rebuild it, as a transport has to.
func TestScopeMembersRebuildTheScope(t *testing.T) {
	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	scope := stream.Union(stream.Aggregates(key), stream.Types(msg.IDFromUint64(4), msg.IDFromUint64(6), msg.IDFromUint64(5)), stream.Orgs(msg.IDFromUint64(7)))
	parts := []stream.Scope{stream.Aggregates(scope.AggregateMembers()...), stream.Orgs(scope.OrgMembers()...)}
	for _, m := range scope.TypeMembers() {
		parts = append(parts, stream.Types(m.Org, m.Type))
	}
	if rebuilt := stream.Union(parts...); rebuilt.String() != scope.String() || scope.IsEverything() {
		t.Errorf("rebuilt %v, want %v", rebuilt, scope)
	}
	if all := stream.Everything(); !all.IsEverything() || len(all.OrgMembers()) > 0 {
		t.Errorf("everything has members %v", all.OrgMembers())
	}
}
