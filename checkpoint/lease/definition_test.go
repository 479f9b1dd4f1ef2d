package lease

import (
	"errors"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

func drawID(t *rapid.T, label string) msg.ID {
	return msg.IDFromUint64s(rapid.Uint64().Draw(t, label), rapid.Uint64().Draw(t, label))
}

func drawRule(t *rapid.T, label string) Rule {
	return Rule{
		Known:    true,
		Shards:   rapid.Uint64Range(1, 24).Draw(t, label),
		Routing:  msg.RoutingRule(rapid.IntRange(0, 2).Draw(t, label)),
		Reserved: rapid.Bool().Draw(t, label),
	}
}

// TestPartitionsFollowShards computes the partition with big integers, as the rule is
// written, and compares the shards with where the node would put the aggregate.
func TestPartitionsFollowShards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule, other := drawRule(t, "rule"), drawRule(t, "other")
		by := By(rapid.IntRange(0, 2).Draw(t, "by"))
		d, err := Define(rule, rapid.Uint32Range(1, 200).Draw(t, "wanted"), by, "s", "")
		if err != nil {
			t.Fatal(err)
		}
		key := msg.Key{Org: drawID(t, "org"), Type: drawID(t, "type"), Aggregate: drawID(t, "aggregate")}
		p := d.Of(key)

		classes := uint64(1)
		if d.Followed {
			classes = rule.Shards
			if rule.Reserved && rule.Shards > 1 {
				classes--
			}
		}
		c := new(big.Int).Mod(rule.Routing.RoutingID(key).Int(), new(big.Int).SetUint64(classes)).Uint64()
		want, count := c%uint64(d.Wanted), uint64(d.Wanted)
		if uint64(d.Wanted) >= classes {
			b := (uint64(d.Wanted) + classes - 1) / classes
			h := new(big.Int).SetUint64(by.hash(key))
			share := new(big.Int).Rsh(h.Mul(h, new(big.Int).SetUint64(b)), 64).Uint64()
			want, count = c*b+share, classes*b
		}
		if uint64(p) != want || uint64(d.Count()) != count {
			t.Fatalf("partition %d of %d, want %d of %d", p, d.Count(), want, count)
		}
		for _, cluster := range []Rule{rule, other} {
			shard := msg.ShardOf(cluster.Routing.RoutingID(key), cluster.Shards, cluster.Reserved)
			if shards := d.Shards(p, cluster); !slices.Contains(shards, shard) {
				t.Fatalf("%+v: partition %d is looked for in %v, the aggregate is in shard %d of %+v", d, p, shards, shard, cluster)
			}
		}
		if unknown := d.Shards(p, Rule{Shards: other.Shards}); uint64(len(unknown)) != other.Shards {
			t.Fatalf("with an unknown rule %v of %d shards are watched", unknown, other.Shards)
		}
	})
}

func TestUnitsAreNotDivided(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		by := By(rapid.IntRange(1, 2).Draw(t, "by"))
		d, _ := Define(drawRule(t, "rule"), 64, by, "s", "")
		one := msg.Key{Org: drawID(t, "org"), Type: drawID(t, "type"), Aggregate: drawID(t, "one")}
		two := one
		two.Aggregate = drawID(t, "two")
		if by == ByOrg {
			two.Type = drawID(t, "other type")
		}
		if d.Of(one) != d.Of(two) {
			t.Fatalf("by %v: %v is in partition %d, %v in %d", by, one, d.Of(one), two, d.Of(two))
		}
	})
}

// The golden values must never change: stored definitions depend on them.
func TestPartitionOfAKeyIsTheSameInEveryRelease(t *testing.T) {
	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	if ByAggregate.hash(key) != checkpoint.KeyHash(key) {
		t.Fatal("the hash of an aggregate is not the key's")
	}
	var got []uint32
	for _, by := range []By{ByAggregate, ByType, ByOrg} {
		d, _ := Define(Rule{}, 4096, by, "s", "")
		got = append(got, d.Of(key))
	}
	if want := []uint32{1451, 3809, 1045}; !slices.Equal(got, want) {
		t.Fatalf("partitions %v, want %v", got, want)
	}
}

func TestDefinitionsAndSetsAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, _ := Define(drawRule(t, "rule"), rapid.Uint32Range(1, 4096).Draw(t, "wanted"), By(rapid.IntRange(0, 2).Draw(t, "by")), rapid.StringN(0, 20, 60).Draw(t, "scope"), "v1")
		if back, err := ParseDefinition("n", d.Encode()); err != nil || back != d {
			t.Fatalf("%+v became %+v: %v", d, back, err)
		}
		if back, ok, err := ParseScope("n", d.ScopeText()); err != nil || !ok || back != d {
			t.Fatalf("%+v became %+v: %v", d, back, err)
		}
		s := NewSet(rapid.SliceOf(rapid.Uint32Range(0, 200)).Draw(t, "set")...)
		var back Set
		if err := back.UnmarshalText([]byte(s.String())); err != nil || !slices.Equal(s, back) {
			t.Fatalf("%v became %v: %v", s, back, err)
		}
	})
}

//covers:definitions
func TestDefinitionsOfOthersAreRefused(t *testing.T) {
	stored, _ := Define(Rule{}, 64, ByAggregate, "s", "v1")
	for field, change := range map[string]func(*Definition){
		"partitions":      func(d *Definition) { d.Wanted = 32 },
		"partitions by":   func(d *Definition) { d.By = ByOrg },
		"handler version": func(d *Definition) { d.Handler = "v2" },
	} {
		want := stored
		change(&want)
		var refused *DefinitionError
		if err := stored.Accept("n", want); !errors.As(err, &refused) || refused.Field != field || refused.Stored == refused.Wanted {
			t.Errorf("%s: %v", field, err)
		}
	}
	want := stored
	want.Scope = "other"
	var scope *checkpoint.ScopeError
	if err := stored.Accept("n", want); !errors.As(err, &scope) {
		t.Errorf("another scope: %v", err)
	}
	want = stored
	want.Wanted = 0
	if err := stored.Accept("n", want); err != nil {
		t.Errorf("a member that wants what there is: %v", err)
	}
	for text, damaged := range map[string]bool{`{"format":2}`: false, `{"format":1,"classes":0}`: true, `x`: true, `{"format":1,"generation":1,"classes":4,"partitions":64,"by":"aggregate","rule":"x"}`: true} {
		_, err := ParseDefinition("n", []byte(text))
		var version *checkpoint.VersionError
		var damage *checkpoint.DamagedError
		if damaged && !errors.As(err, &damage) || !damaged && !errors.As(err, &version) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
