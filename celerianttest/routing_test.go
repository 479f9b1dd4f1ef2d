package celerianttest_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

func TestShards(t *testing.T) {
	for _, rule := range []msg.RoutingRule{msg.RouteByAggregate, msg.RouteByType, msg.RouteByOrg} {
		for _, reserve := range []bool{false, true} {
			for _, shards := range []int{1, 3, 4} {
				t.Run(fmt.Sprintf("%v, %d shards, reserved %v", rule, shards, reserve), func(t *testing.T) {
					node := celerianttest.Run(t, celerianttest.Options{Shards: shards, Routing: rule, ReserveCoordinator: reserve})
					checkShards(t, node, rule, uint64(shards), reserve)
				})
			}
		}
	}
}

// checkShards writes keys of many shards through one connection and finds each
// in the list, and its watch on the shard, where the rule puts it.
func checkShards(t *testing.T, node *celerianttest.Node, rule msg.RoutingRule, shards uint64, reserve bool) {
	want := make([][]msg.Key, shards)
	watches := make([]*peer, shards)
	for shard := range shards {
		watches[shard] = dial(t, node)
		watches[shard].send(&msg.WatchRequest{Shard: msg.Some(shard), Operations: []msg.Operation{msg.OpCreate}})
		watches[shard].want(&msg.WatchResponse{})
	}
	p := dial(t, node)
	for n := range uint64(12) {
		k := msg.Key{Org: id(100 + n), Type: msg.IDFromUint64s(n, 200+n), Aggregate: msg.IDFromUint64s(1<<63, 7*n)}
		shard := msg.ShardOf(rule.RoutingID(k), shards, reserve)
		want[shard] = append(want[shard], k)
		p.send(writeTo(k, event(1, "x")))
		p.want(written(1))
		if page, ok := p.call(readFrom(k, 1)).(*msg.ReadResponse); !ok || len(page.Batches) != 1 {
			t.Fatalf("reading %v back: %+v", k, page)
		}
	}
	for shard := range shards {
		var listed []msg.Key
		for _, item := range p.call(&msg.ListAggregatesRequest{Shard: shard}).(*msg.ListAggregatesResponse).Aggregates {
			listed = append(listed, item.Key)
		}
		slices.SortFunc(listed, msg.Key.Compare)
		slices.SortFunc(want[shard], msg.Key.Compare)
		if !slices.Equal(listed, want[shard]) {
			t.Errorf("shard %d lists %v, want %v", shard, listed, want[shard])
		}
		for range want[shard] {
			n := watches[shard].recv().(*msg.WatchResponse).Notifications
			if len(n) != 1 || !slices.Contains(want[shard], n[0].Key) {
				t.Errorf("the watch of shard %d got %v", shard, n)
			}
		}
	}
	if reserve && shards > 1 && len(want[0]) > 0 {
		t.Error("the reserved shard got data")
	}
}

func TestRoutingErrorsLeaveTheConnectionUsable(t *testing.T) {
	const none = `{"detail":"%s","num_shards":4}`
	twoShards := &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: key(1), DenyCreate: true}, {Key: key(2), DenyCreate: true}}}
	tests := []struct {
		name string
		req  msg.Request
		code msg.Code
		text string
	}{
		{"a write over two shards, before its shape", twoShards, msg.CodeSeveralShards, `{"num_shards":4}`},
		{"a delete over two shards", &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key(1)}, {Key: key(2)}}},
			msg.CodeSeveralShards, `{"num_shards":4}`},
		{"an empty write", &msg.WriteRequest{}, msg.CodeRouting,
			fmt.Sprintf(none, "Write request must contain at least one write operation.")},
		{"an empty delete", &msg.DeleteRequest{}, msg.CodeRouting,
			fmt.Sprintf(none, "Delete request must contain at least one delete operation.")},
		{"a list of a shard that is not", &msg.ListTypesRequest{Shard: 4}, msg.CodeRouting,
			fmt.Sprintf(none, "Invalid shard_id 4. Must be less than 4 (total number of shards).")},
		{"a watch without aggregates", &msg.WatchRequest{Orgs: []msg.ID{id(1)}}, msg.CodeRouting,
			fmt.Sprintf(none, "Must specify at least one aggregate. Server is setup to shard by aggregate.")},
		{"a watch of an empty set", &msg.WatchRequest{Aggregates: []msg.ID{}}, msg.CodeRouting,
			fmt.Sprintf(none, "Must specify at least one aggregate. Server is setup to shard by aggregate.")},
		{"a watch over two shards", &msg.WatchRequest{Aggregates: []msg.ID{id(1), id(2)}}, msg.CodeSeveralShards, `{"num_shards":4}`},
	}
	p := dial(t, celerianttest.Run(t, celerianttest.Options{Shards: 4}))
	for i, test := range tests {
		test.req.SetCorrelation(msg.Some(id(uint64(i))))
		p.send(test.req)
		p.want(&msg.ErrorResponse{Correlated: msg.Correlated{CorrelationID: msg.Some(id(uint64(i)))}, Code: test.code, Message: test.text})
	}
	watching(p, 1, 5)
}

func TestWatchFilterIsDemandedOfOneShardToo(t *testing.T) {
	p := dial(t, celerianttest.Run(t, celerianttest.Options{}))
	p.send(&msg.WatchRequest{Orgs: []msg.ID{id(1)}})
	p.wantError(msg.CodeRouting)
	p.send(&msg.WatchRequest{Orgs: []msg.ID{id(1)}, Shard: msg.Some[uint64](0)})
	p.want(&msg.WatchResponse{})
}

func TestSchemaIsEnforcedOnEveryShard(t *testing.T) {
	p := dial(t, celerianttest.Run(t, celerianttest.Options{Shards: 3, Validators: testValidators}))
	register := &msg.RegisterSchemaRequest{ClientID: writer, Key: msg.SchemaKey{Org: id(1), Type: id(2), Major: 1}, Schema: `{"type":"object"}`}
	p.send(register)
	p.want(&msg.RegisterSchemaResponse{})
	p.send(register)
	p.wantError(msg.CodeSchemaExists)
	for n := range uint64(3) {
		p.send(writeTo(key(n), event(1, "no object")))
		p.wantError(msg.CodeSchemaMismatch)
		p.send(writeTo(key(n), event(1, "{}")))
		p.want(written(1))
	}
}
