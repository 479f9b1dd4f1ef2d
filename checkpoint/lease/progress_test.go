package lease

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// A partition is unowned until its record names a member that is alive, or a heartbeat
// tells of it: a claim is told of in the next heartbeat only.
func TestProgressKnowsClaimsSinceTheLastHeartbeat(t *testing.T) {
	store := checkpoint.NewMemory()
	put := func(name, key string, value []byte) {
		t.Helper()
		m := checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: key, Value: value, Any: true}}}
		if err := store.Apply(t.Context(), name, m); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Declare(t.Context(), store, "n", Declaration{
		Rule: func(context.Context) (Rule, error) { return Rule{}, nil }, Partitions: 4, Scope: "all",
	})
	if err != nil {
		t.Fatal(err)
	}
	beat := func(process string, expires time.Time, holds ...uint32) {
		put("", memberPrefix+process, encode(heartbeat{
			Format: heartbeatFormat, Beat: 1, TTL: 15000, Expires: expires.UnixMilli(),
			Members: []memberEntry{{Name: "n", ID: "m", Generation: 1, Holds: NewSet(holds...)}},
		}))
	}
	beat("alive", time.Now().Add(time.Hour), 0)
	beat("dead", time.Now().Add(-time.Hour), 3)
	put("n", checkpoint.PartitionKey(1), Partition{Epoch: 1, Process: "alive", Member: "m"}.encode())
	put("n", checkpoint.PartitionKey(2), Partition{Epoch: 1, Process: "alive", Member: "another"}.encode())
	put("n", checkpoint.PartitionKey(3), Partition{Epoch: 1, Process: "dead", Member: "m"}.encode())
	p, err := ReadProgress(t.Context(), store, "n")
	if err != nil || !slices.Equal(p.Unowned, Set{2, 3}) {
		t.Errorf("unowned are %v, %v, want 2 and 3", p.Unowned, err)
	}
}
