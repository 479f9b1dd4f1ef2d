package lease

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	// DefaultPartitions is the count of partitions wanted where none is given.
	DefaultPartitions = 64
	// MaxPartitions is the most partitions a subscription can have.
	MaxPartitions = 4096
	// MaxHandler is the longest handler version, in bytes.
	MaxHandler = 255

	definitionFormat = 1
)

// By is the unit that is never divided: all aggregates of one unit are in one
// partition, and so with one owner.
type By uint8

// The units.
const (
	ByAggregate By = iota
	ByType         // one aggregate type of one organisation
	ByOrg
)

// String returns "aggregate", "type" or "org".
func (b By) String() string {
	switch b {
	case ByAggregate:
		return "aggregate"
	case ByType:
		return "type"
	case ByOrg:
		return "org"
	}
	return fmt.Sprintf("unit %d", uint8(b))
}

// MarshalText returns what String returns.
func (b By) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (b *By) UnmarshalText(text []byte) error {
	for _, unit := range []By{ByAggregate, ByType, ByOrg} {
		if unit.String() == string(text) {
			*b = unit
			return nil
		}
	}
	return fmt.Errorf("lease: %q is no unit of partitions: want aggregate, type or org", text)
}

// Rule is how a cluster divides aggregates among its shards. The zero Rule is an
// unknown one.
type Rule struct {
	// Shards is the number of shards; 0 if it is unknown.
	Shards uint64
	// Known tells that Routing and Reserved were found out.
	Known bool
	// Routing names the id that decides the shard.
	Routing msg.RoutingRule
	// Reserved: shard 0 holds no aggregates, if there are several shards.
	Reserved bool
}

// classes is the number of residue classes that the rule tells apart.
func (r Rule) classes() uint64 {
	switch {
	case !r.Known || r.Shards <= 1:
		return 1
	case r.Reserved:
		return r.Shards - 1
	}
	return r.Shards
}

// first is the shard of class 0.
func (r Rule) first() uint64 {
	if r.Reserved && r.Shards > 1 {
		return 1
	}
	return 0
}

// Definition says which partition an aggregate is in. A Definition is stored with
// the first claim of a subscription and holds whatever the cluster becomes later.
type Definition struct {
	// Generation counts the definitions of one subscription, from 1.
	Generation uint64
	// Followed tells that partitions follow shards: Routing names the id whose
	// residue modulo Classes decides the shard. Otherwise Classes is 1.
	Followed bool
	Routing  msg.RoutingRule
	Classes  uint64
	// Wanted is the count of partitions asked for, see Count.
	Wanted uint32
	By     By
	// Scope is the canonical text of what is subscribed.
	Scope string
	// Handler is the declared version of what handles the changes.
	Handler string
	// Started: a start from now was made in every partition of an earlier generation.
	Started bool
	// Claimed: a partition of an earlier generation was claimed. If the subscription
	// starts from now, Since is then the node's time of the first claim, in milliseconds.
	Claimed bool
	Since   uint64
}

// Define makes the first definition of a subscription.
func Define(rule Rule, wanted uint32, by By, scope, handler string) (Definition, error) {
	d := Definition{Generation: 1, Classes: 1, Wanted: wanted, By: by, Scope: scope, Handler: handler}
	if d.Wanted == 0 {
		d.Wanted = DefaultPartitions
	}
	if rule.Known && by.decides(rule.Routing) {
		d.Followed, d.Routing, d.Classes = true, rule.Routing, rule.classes()
	}
	return d, d.check()
}

// decides reports whether aggregates of one unit always have the same routing id.
// Where they do not, partitions cannot follow shards.
func (b By) decides(routing msg.RoutingRule) bool {
	switch b {
	case ByAggregate:
		return true
	case ByType:
		return routing != msg.RouteByAggregate
	}
	return routing == msg.RouteByOrg
}

func (d Definition) check() error {
	switch {
	case d.Wanted == 0 || d.Wanted > MaxPartitions:
		return fmt.Errorf("lease: %d partitions: want 1 to %d", d.Wanted, MaxPartitions)
	case d.By > ByOrg:
		return fmt.Errorf("lease: partitions by %v: want aggregate, type or org", d.By)
	case len(d.Handler) > MaxHandler:
		return fmt.Errorf("lease: a handler version of %d bytes: the limit is %d", len(d.Handler), MaxHandler)
	case d.Classes == 0 || d.Routing > msg.RouteByOrg || d.Generation == 0:
		return fmt.Errorf("lease: definition of %d classes, routing %v, generation %d", d.Classes, d.Routing, d.Generation)
	case d.Count() > 2*MaxPartitions:
		return fmt.Errorf("lease: %d partitions over %d shards make %d: want at most %d", d.Wanted, d.Classes, d.Count(), 2*MaxPartitions)
	}
	return nil
}

// epoch is what the epochs of claims start above: those of every earlier generation
// are lower.
func (d Definition) epoch() uint64 { return (d.Generation - 1) << 32 }

// perClass is B, the partitions of one class; 0 where classes share partitions.
func (d Definition) perClass() uint64 {
	if uint64(d.Wanted) < d.Classes {
		return 0
	}
	return (uint64(d.Wanted) + d.Classes - 1) / d.Classes
}

// Count is the number of partitions: the next multiple of the classes from Wanted
// on, or Wanted where there are more classes than that.
func (d Definition) Count() uint32 {
	if b := d.perClass(); b > 0 {
		return uint32(d.Classes * b)
	}
	return d.Wanted
}

// Of returns the partition of an aggregate.
func (d Definition) Of(key msg.Key) uint32 {
	class := uint64(0)
	if d.Classes > 1 {
		class = d.Routing.RoutingID(key).Mod(d.Classes)
	}
	b := d.perClass()
	switch b {
	case 0:
		return uint32(class % uint64(d.Wanted))
	case 1:
		return uint32(class)
	}
	share, _ := bits.Mul64(d.By.hash(key), b)
	return uint32(class*b + share)
}

// Shards returns the shards, ascending, that can hold aggregates of a partition
// in a cluster of the given rule: all of them if that rule, or the definition's, is
// unknown or another id decides.
func (d Definition) Shards(partition uint32, cluster Rule) []uint64 {
	if !d.Followed || !cluster.Known || cluster.Routing != d.Routing {
		return d.all(cluster)
	}
	now := cluster.classes()
	step := gcd(d.Classes, now)
	var shards []uint64
	for class := range now {
		if d.meets(partition, class%step, step) {
			shards = append(shards, cluster.first()+class)
		}
	}
	return shards
}

// meets reports whether ids of the partition can have the residue modulo step,
// which divides the classes.
func (d Definition) meets(partition uint32, residue, step uint64) bool {
	if b := d.perClass(); b > 0 {
		return uint64(partition)/b%step == residue
	}
	for class := uint64(partition); class < d.Classes; class += uint64(d.Wanted) {
		if class%step == residue {
			return true
		}
	}
	return false
}

func (d Definition) all(cluster Rule) []uint64 {
	first := uint64(0)
	if cluster.Known {
		first = cluster.first()
	}
	shards := make([]uint64, 0, cluster.Shards-min(first, cluster.Shards))
	for s := first; s < cluster.Shards; s++ {
		shards = append(shards, s)
	}
	return shards
}

// group is the class a partition is laid out with: partitions of one group are in
// the same shards.
func (d Definition) group(partition uint32) uint32 {
	if b := d.perClass(); b > 0 {
		return partition / uint32(b)
	}
	return partition
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Accept returns a [*DefinitionError] if a member that wants the definition want
// cannot share the subscription with those that follow d. The shape of the cluster
// decides nothing; a count of 0 wants what there is.
func (d Definition) Accept(name string, want Definition) error {
	refuse := func(field, stored, wanted string) error {
		return &DefinitionError{Name: name, Field: field, Stored: stored, Wanted: wanted}
	}
	switch {
	case d.Scope != want.Scope:
		// The error that whole owners know.
		return &checkpoint.ScopeError{Name: name, Stored: d.Scope, Wanted: want.Scope}
	case want.Wanted != 0 && d.Wanted != want.Wanted:
		return refuse("partitions", fmt.Sprint(d.Wanted), fmt.Sprint(want.Wanted))
	case d.By != want.By:
		return refuse("partitions by", d.By.String(), want.By.String())
	case d.Handler != want.Handler:
		return refuse("handler version", fmt.Sprintf("%q", d.Handler), fmt.Sprintf("%q", want.Handler))
	}
	return nil
}

// DefinitionError refuses a member whose settings are not those the subscription
// was defined with. Adopt or repartition to change them for all members.
type DefinitionError struct {
	Name string
	// Field names the setting.
	Field          string
	Stored, Wanted string
}

// Error names the subscription, the setting and both values.
func (e *DefinitionError) Error() string {
	return fmt.Sprintf("lease: subscription %q has %s %s, a member wants %s: all members need the same, or one has to adopt or repartition",
		e.Name, e.Field, e.Stored, e.Wanted)
}

// definitionRecord is the stored form.
type definitionRecord struct {
	Format     int    `json:"format"`
	Generation uint64 `json:"generation"`
	Rule       string `json:"rule"` // empty: partitions do not follow shards
	Classes    uint64 `json:"classes"`
	Wanted     uint32 `json:"partitions"`
	By         By     `json:"by"`
	Scope      string `json:"scope"`
	Handler    string `json:"handler,omitempty"`
	Started    bool   `json:"started,omitempty"`
	Claimed    bool   `json:"claimed,omitempty"`
	Since      uint64 `json:"since,omitempty"`
}

// Encode returns the stored form, JSON.
func (d Definition) Encode() []byte {
	r := definitionRecord{Format: definitionFormat, Generation: d.Generation, Classes: d.Classes, Wanted: d.Wanted,
		By: d.By, Scope: d.Scope, Handler: d.Handler, Started: d.Started, Claimed: d.Claimed, Since: d.Since}
	if d.Followed {
		r.Rule = d.Routing.String()
	}
	return encode(r)
}

// ParseDefinition reads what Encode wrote, in this release or another one.
func ParseDefinition(name string, value []byte) (Definition, error) {
	where := fmt.Sprintf("definition of the partitions of %q", name)
	var r definitionRecord
	if err := decode(where, value, definitionFormat, &r); err != nil {
		return Definition{}, err
	}
	d := Definition{Generation: r.Generation, Classes: r.Classes, Wanted: r.Wanted, By: r.By, Scope: r.Scope, Handler: r.Handler, Started: r.Started, Claimed: r.Claimed, Since: r.Since}
	for _, routing := range []msg.RoutingRule{msg.RouteByAggregate, msg.RouteByType, msg.RouteByOrg} {
		if r.Rule == routing.String() {
			d.Followed, d.Routing = true, routing
		}
	}
	err := d.check()
	if err == nil && (r.Rule != "") != d.Followed {
		err = fmt.Errorf("unknown rule %q", r.Rule)
	}
	if err != nil {
		return Definition{}, &checkpoint.DamagedError{Where: where, Offset: -1, Reason: err.Error()}
	}
	return d, nil
}

// scopePrefix begins the scope text of a subscription that is divided into
// partitions. Releases that know no partitions refuse it, as any other scope.
const scopePrefix = "partitioned "

// ScopeText is the text that a checkpoint keeps as the scope of a subscription that
// follows the definition.
func (d Definition) ScopeText() string { return scopePrefix + string(d.Encode()) }

// ParseScope reads what ScopeText wrote; ok is false for the scope of a subscription
// that is not divided.
func ParseScope(name, text string) (d Definition, ok bool, err error) {
	value, ok := strings.CutPrefix(text, scopePrefix)
	if !ok {
		return Definition{}, false, nil
	}
	d, err = ParseDefinition(name, []byte(value))
	return d, err == nil, err
}

// encode is for values that always have a JSON form.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("lease: encoding %T: %v", v, err))
	}
	return b
}

// decode reads a value whose format must be one that this release knows.
func decode(where string, value []byte, format int, into any) error {
	var head struct {
		Format int `json:"format"`
	}
	err := json.Unmarshal(value, &head)
	if err == nil && head.Format != format {
		return &checkpoint.VersionError{Where: where, Found: uint64(max(0, head.Format)), Supported: uint64(format)}
	}
	if err == nil {
		err = json.Unmarshal(value, into)
	}
	if err != nil {
		return &checkpoint.DamagedError{Where: where, Offset: -1, Reason: err.Error()}
	}
	return nil
}
