package main_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/msg"
)

//covers:definitions
func TestCheckpointsAreRepartitioned(t *testing.T) {
	place := filledStore(t, "orders", 5, 10)
	on := []string{"checkpoints", "repartition", "--checkpoint", place, "--name", "orders", "--partitions", "10", "--json"}
	if r := command(t, on...); r.status != 1 || !strings.Contains(r.stderr, "has one owner") {
		t.Errorf("a position of one owner: status %d, %q", r.status, r.stderr)
	}
	rule := lease.Rule{Shards: 4, Known: true, Routing: msg.RouteByAggregate}
	inStore(t, place, func(store *checkpoint.File) error {
		_, err := lease.Declare(t.Context(), store, "orders", lease.Declaration{
			Rule: func(context.Context) (lease.Rule, error) { return rule, nil }, Partitions: 8, Scope: "everything",
		})
		return err
	})
	var line struct {
		Partitions uint32
		Generation uint64
	}
	// Partitions go on to follow the four shards, so that their number is a multiple.
	if err := json.Unmarshal([]byte(succeeded(t, on...)), &line); err != nil || line.Partitions != 12 || line.Generation != 2 {
		t.Errorf("it says %+v, %v", line, err)
	}
	if got := succeeded(t, "checkpoints", "show", "--checkpoint", place, "--name", "orders"); !strings.Contains(got, "aggregates  5, 0 of them deleted") {
		t.Errorf("show says %q", got)
	}
	on[len(on)-2] = "5000"
	if r := command(t, on...); r.status != 2 {
		t.Errorf("too many partitions: status %d, %q", r.status, r.stderr)
	}
	if r := command(t, "checkpoints", "repartition", "--checkpoint", place, "--name", "other", "--partitions", "8"); r.status != 4 {
		t.Errorf("an unknown name: status %d, %q", r.status, r.stderr)
	}
}
