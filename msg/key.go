package msg

import "cmp"

// Key names one aggregate: one ordered log of batches. A Key is comparable and
// usable as a map key. Protocol section 6.1.
type Key struct {
	Org       ID
	Type      ID
	Aggregate ID
}

// Compare orders keys by organisation, then type, then aggregate.
func (k Key) Compare(other Key) int {
	return cmp.Or(k.Org.Compare(other.Org), k.Type.Compare(other.Type), k.Aggregate.Compare(other.Aggregate))
}

// String returns "org/type/aggregate" as UUID texts.
func (k Key) String() string {
	return k.Org.String() + "/" + k.Type.String() + "/" + k.Aggregate.String()
}

// SchemaKey names the schema of one event type of one aggregate type.
// Protocol section 6.2.
type SchemaKey struct {
	Org   ID
	Type  ID
	Major uint64
	Minor uint64
}

// RoutingRule names the part of a Key that decides its shard. The rule is fixed
// for a cluster and not advertised on the wire. Protocol section 10.
type RoutingRule uint8

// The routing rules. RouteByAggregate is the default of the reference server.
const (
	RouteByAggregate RoutingRule = iota
	RouteByType
	RouteByOrg
)

// String returns the reference server's flag value for the rule.
func (r RoutingRule) String() string {
	switch r {
	case RouteByAggregate:
		return "aggregate_id"
	case RouteByType:
		return "aggregate_type_id"
	case RouteByOrg:
		return "org_id"
	}
	return "unknown"
}

// RoutingID returns the part of key the rule routes by.
func (r RoutingRule) RoutingID(key Key) ID {
	switch r {
	case RouteByType:
		return key.Type
	case RouteByOrg:
		return key.Org
	default:
		return key.Aggregate
	}
}

// ShardOf returns the shard that owns a routing id: id mod shards, or, when
// the coordinator shard 0 is reserved and there are several, 1 + id mod
// (shards − 1). ShardOf panics when shards is 0. Protocol section 10.
func ShardOf(routingID ID, shards uint64, reserveCoordinator bool) uint64 {
	switch {
	case shards == 1:
		return 0
	case reserveCoordinator:
		return 1 + routingID.Mod(shards-1)
	default:
		return routingID.Mod(shards)
	}
}
