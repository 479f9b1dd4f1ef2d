package stream

import (
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

func TestMembersHaveTexts(t *testing.T) {
	id := msg.IDFromUint64
	key := msg.Key{Org: id(5), Type: id(6), Aggregate: id(7)}
	for _, scope := range []Scope{
		Everything(),
		Orgs(id(1), id(2)),
		Union(Orgs(id(1)), Types(id(2), id(3), id(4)), Aggregates(key)),
	} {
		var read Scope
		for _, text := range scope.memberTexts() {
			member, err := parseMember(text)
			if err != nil {
				t.Fatal(err)
			}
			read = Union(read, member)
		}
		if read.String() != scope.String() {
			t.Errorf("%v is read as %v", scope, read)
		}
	}
	for _, text := range []string{"", "org", "org/x", "type/" + id(1).String(), "everything/" + id(1).String(), "shard/" + id(1).String()} {
		if scope, err := parseMember(text); err == nil {
			t.Errorf("%q is read as %v", text, scope)
		}
	}
}
