package stores

import (
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// Names are those that were given, else they differ between scopes and fit
// every store.
func TestPositionNames(t *testing.T) {
	var keys []msg.Key
	for n := range uint64(9) {
		keys = append(keys, msg.Key{Aggregate: msg.IDFromUint64(n)})
	}
	f := new(CheckpointFlags)
	var names []string
	for _, scope := range []stream.Scope{stream.Everything(), stream.Orgs(msg.ID{}), stream.Aggregates(keys...), stream.Aggregates(keys[1:]...)} {
		name := f.NameFor(scope)
		if err := checkpoint.CheckName(name); err != nil || slices.Contains(names, name) {
			t.Errorf("%v has name %q, %v", scope, name, err)
		}
		names = append(names, name)
	}
	if f.name = "mine"; f.NameFor(stream.Everything()) != "mine" {
		t.Errorf("mine becomes %q", f.NameFor(stream.Everything()))
	}
}
