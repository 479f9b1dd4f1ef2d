package checkpoint_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// The outcome of a compare-and-set entry for each stored cursor.
func TestAdvanceCompares(t *testing.T) {
	at := func(version uint64) checkpoint.Cursor { return checkpoint.Cursor{Version: version} }
	for _, c := range []struct {
		name             string
		from, to, stored checkpoint.Cursor
		moves            bool
		applied, refused bool
	}{
		{name: "the first", to: at(1), moves: true},
		{name: "the next", from: at(1), to: at(2), stored: at(1), moves: true},
		{name: "the same again", from: at(1), to: at(2), stored: at(2), applied: true},
		{name: "overtaken", from: at(1), to: at(2), stored: at(5), applied: true},
		{name: "overtaken by another life", from: at(1), to: at(2), stored: checkpoint.Cursor{Life: 1}, applied: true},
		{name: "a gap", from: at(3), to: at(4), stored: at(1), refused: true},
		{name: "another start between", from: at(1), to: at(5), stored: at(3), refused: true},
		{name: "nothing stored", from: at(1), to: at(2), refused: true},
		{name: "nothing expected", to: at(5), stored: at(1), refused: true},
		{name: "no move", from: at(2), to: at(2), stored: at(2)},
		{name: "backwards", from: at(2), to: at(1), stored: at(2), refused: true},
		{name: "another anchor", from: checkpoint.Cursor{Version: 1, Anchor: checkpoint.Anchor{Hash: 1}}, to: at(2), stored: at(1), moves: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			moved, err := checkpoint.Advance([]checkpoint.Entry{{Cursor: c.to, From: c.from, Compare: true}}, []checkpoint.Cursor{c.stored})
			var refused *checkpoint.RegressionError
			if len(moved) > 0 != c.moves || errors.Is(err, checkpoint.ErrApplied) != c.applied || errors.As(err, &refused) != c.refused {
				t.Fatalf("moves %v, %v", moved, err)
			}
		})
	}
	// Of one key's entries each follows the one before.
	entries := []checkpoint.Entry{{Cursor: at(2), From: at(1), Compare: true}, {Cursor: at(3), From: at(2), Compare: true}}
	if moved, err := checkpoint.Advance(entries, []checkpoint.Cursor{at(1), at(1)}); err != nil || len(moved) != 1 || moved[0].Cursor != at(3) {
		t.Fatalf("two steps: %v, %v", moved, err)
	}
	entries[1].From = at(1)
	var refused *checkpoint.RegressionError
	if _, err := checkpoint.Advance(entries, []checkpoint.Cursor{at(1), at(1)}); !errors.As(err, &refused) {
		t.Fatalf("two steps from one cursor: %v", err)
	}
}

// The fence lets pass exactly the newest claim.
func TestOwnershipFences(t *testing.T) {
	token := checkpoint.Token{1}
	held := checkpoint.Ownership{Epoch: 5, Token: token, Claimed: true}
	whole := held.Owner("orders")
	leased := checkpoint.Owner{Name: "orders", Epoch: 5, Token: token, Leased: true, Partition: 7}
	row := []byte(`{"format":1,"epoch":5,"token":"01000000000000000000000000000000","member":"a"}`)
	for name, c := range map[string]struct {
		stored    checkpoint.Ownership
		owner     checkpoint.Owner
		partition []byte
		passes    bool
	}{
		"the newest":              {stored: held, owner: whole, passes: true},
		"an older epoch":          {stored: held, owner: checkpoint.Owner{Epoch: 4, Token: token}},
		"a later epoch":           {stored: held, owner: checkpoint.Owner{Epoch: 6, Token: token}},
		"the epoch again":         {stored: held, owner: checkpoint.Owner{Epoch: 5, Token: checkpoint.Token{2}}},
		"no token":                {stored: held, owner: checkpoint.Owner{Epoch: 5}},
		"a claim without token":   {stored: checkpoint.Ownership{Epoch: 5, Claimed: true}, owner: checkpoint.Owner{Epoch: 5}, passes: true},
		"deleted":                 {stored: checkpoint.Ownership{Epoch: 5, Token: token}, owner: whole},
		"a partition":             {stored: held, owner: leased, partition: row, passes: true},
		"no such partition":       {stored: held, owner: leased},
		"a partition, deleted":    {stored: checkpoint.Ownership{Epoch: 5, Token: token}, owner: leased, partition: row},
		"another claim of it":     {stored: held, owner: leased, partition: []byte(`{"format":1,"epoch":6,"token":"01000000000000000000000000000000"}`)},
		"another token of it":     {stored: held, owner: leased, partition: []byte(`{"format":1,"epoch":5,"token":"02000000000000000000000000000000"}`)},
		"a partition of nobody":   {stored: held, owner: checkpoint.Owner{Leased: true}, partition: []byte(`{"format":1,"epoch":0,"token":"00000000000000000000000000000000"}`)},
		"a whole owner as leased": {stored: held, owner: whole, partition: []byte(`{"format":1,"epoch":9,"token":"01000000000000000000000000000000"}`), passes: true},
	} {
		if err := c.stored.Check(c.owner, c.partition); (err == nil) != c.passes || err != nil && !errors.Is(err, checkpoint.ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := held.Delete().Check(whole, nil); !errors.Is(err, checkpoint.ErrDeleted) {
		t.Errorf("an owner of what was deleted: %v, want ErrDeleted", err)
	}
	for _, bad := range []string{"", "7", "{", `{"format":1,"epoch":-1}`, `{"format":1,"epoch":1,"token":"xy"}`, `{"format":1,"epoch":5,"token":"0100"}`} {
		var damaged *checkpoint.DamagedError
		var version *checkpoint.VersionError
		if err := held.Check(leased, []byte(bad)); !errors.As(err, &damaged) && !errors.As(err, &version) {
			t.Errorf("a partition's record %q: %v", bad, err)
		}
	}
}

func TestScopesAreReplaced(t *testing.T) {
	stored := checkpoint.Ownership{Epoch: 5, Claimed: true, Scope: "a"}
	for name, c := range map[string]struct {
		claim    checkpoint.Claim
		accepted bool
		rescoped bool
	}{
		"the same":        {checkpoint.Claim{Scope: "a"}, true, false},
		"another":         {checkpoint.Claim{Scope: "b"}, false, false},
		"adopted":         {checkpoint.Claim{Scope: "b", Adopt: true}, true, true},
		"replaced":        {checkpoint.Claim{Scope: "b", Replaces: []string{"x", "a"}}, true, true},
		"another's place": {checkpoint.Claim{Scope: "b", Replaces: []string{"x"}}, false, false},
		"replaced before": {checkpoint.Claim{Scope: "a", Replaces: []string{"x"}}, true, false},
	} {
		next, rescoped, err := stored.Claim(c.claim, checkpoint.Token{3})
		if (err == nil) != c.accepted || rescoped != c.rescoped && err == nil {
			t.Errorf("%s: %+v, rescoped %v, %v", name, next, rescoped, err)
		}
		if want := (checkpoint.Ownership{Epoch: 6, Token: checkpoint.Token{3}, Claimed: true, Scope: c.claim.Scope}); err == nil && next != want {
			t.Errorf("%s: %+v", name, next)
		}
	}
}

// Mutations that no store can apply are refused before they touch one.
func TestMutationsAreChecked(t *testing.T) {
	owner := checkpoint.Owner{Name: "orders", Epoch: 1}
	entries := []checkpoint.Entry{{Key: msg.Key{Org: msg.IDFromUint64(1)}, Cursor: checkpoint.Cursor{Version: 1}}}
	one := func(c checkpoint.RecordChange) checkpoint.Mutation {
		return checkpoint.Mutation{Records: []checkpoint.RecordChange{c}}
	}
	v := []byte("1")
	for name, c := range map[string]struct {
		name string
		m    checkpoint.Mutation
		good bool
	}{
		"nothing":                   {"orders", checkpoint.Mutation{}, true},
		"cursors":                   {"orders", checkpoint.Mutation{Owners: []checkpoint.Owner{owner}, Entries: entries}, true},
		"a record":                  {"orders", one(checkpoint.RecordChange{Key: "a", Value: v}), true},
		"the longest record":        {"orders", one(checkpoint.RecordChange{Key: strings.Repeat("k", checkpoint.MaxRecordKey), Value: []byte(strings.Repeat("1", checkpoint.MaxRecordValue))}), true},
		"a record of the store":     {"", one(checkpoint.RecordChange{Key: "a", Value: v, Any: true}), true},
		"a deletion":                {"orders", one(checkpoint.RecordChange{Key: "a", Revision: 7}), true},
		"a check":                   {"orders", one(checkpoint.RecordChange{Key: "a", Revision: 7, Check: true}), true},
		"cursors of nobody":         {"orders", checkpoint.Mutation{Entries: entries}, false},
		"a fence of nobody":         {"orders", checkpoint.Mutation{Exclusive: true}, false},
		"cursors of the store":      {"", checkpoint.Mutation{Owners: []checkpoint.Owner{{}}, Entries: entries}, false},
		"another's owner":           {"orders", checkpoint.Mutation{Owners: []checkpoint.Owner{owner, {Name: "others"}}}, false},
		"a bad name":                {"a\nb", one(checkpoint.RecordChange{Key: "a", Value: v}), false},
		"no key":                    {"orders", one(checkpoint.RecordChange{Value: v}), false},
		"a key that is too long":    {"orders", one(checkpoint.RecordChange{Key: strings.Repeat("k", checkpoint.MaxRecordKey+1), Value: v}), false},
		"a key with a line break":   {"orders", one(checkpoint.RecordChange{Key: "a\n", Value: v}), false},
		"an empty value":            {"orders", one(checkpoint.RecordChange{Key: "a", Value: []byte{}}), false},
		"a value that is too long":  {"orders", one(checkpoint.RecordChange{Key: "a", Value: make([]byte, checkpoint.MaxRecordValue+1)}), false},
		"a value that is no text":   {"orders", one(checkpoint.RecordChange{Key: "a", Value: []byte{0xff}}), false},
		"a value with NUL":          {"orders", one(checkpoint.RecordChange{Key: "a", Value: []byte("a\x00")}), false},
		"any and a revision":        {"orders", one(checkpoint.RecordChange{Key: "a", Value: v, Any: true, Revision: 1}), false},
		"a check that writes":       {"orders", one(checkpoint.RecordChange{Key: "a", Value: v, Check: true}), false},
		"a check of anything":       {"orders", one(checkpoint.RecordChange{Key: "a", Any: true, Check: true}), false},
		"one key twice":             {"orders", checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: "a", Value: v}, {Key: "a", Value: v, Any: true}}}, false},
		"more records than allowed": {"orders", checkpoint.Mutation{Records: make([]checkpoint.RecordChange, 1001)}, false},
		"a life of 2⁶³": {"orders", checkpoint.Mutation{Owners: []checkpoint.Owner{owner},
			Entries: []checkpoint.Entry{{Cursor: checkpoint.Cursor{Life: 1 << 63}}}}, false},
		"from a version of 2⁶³": {"orders", checkpoint.Mutation{Owners: []checkpoint.Owner{owner},
			Entries: []checkpoint.Entry{{From: checkpoint.Cursor{Version: 1 << 63}, Compare: true}}}, false},
	} {
		if err := c.m.Check(c.name); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
