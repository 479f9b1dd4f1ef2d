package msg_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"pgregory.net/rapid"
)

func TestParseID(t *testing.T) {
	want := msg.IDFromUint64s(0x0102030405060708, 0x090a0b0c0d0e0f10)
	for _, text := range []string{
		"01020304-0506-0708-090a-0b0c0d0e0f10",
		"01020304-0506-0708-090A-0B0C0D0E0F10",
		"0102030405060708090a0b0c0d0e0f10",
	} {
		got, err := msg.ParseID(text)
		if err != nil || got != want {
			t.Errorf("ParseID(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "1", "0102030405060708090a0b0c0d0e0f1", "0102030405060708090a0b0c0d0e0f1g",
		"01020304-0506-0708-090a0-b0c0d0e0f10", "01020304 0506 0708 090a 0b0c0d0e0f10",
		strings.Repeat("-", 36), strings.Repeat("0", 36),
	} {
		if got, err := msg.ParseID(text); err == nil || !strings.Contains(err.Error(), "not an id") {
			t.Errorf("ParseID(%q) = %v, %v: want an error that says what is wanted", text, got, err)
		}
	}
}

func TestIDFormsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hi, lo := rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")
		id := msg.IDFromUint64s(hi, lo)
		if h, l := id.Uint64s(); h != hi || l != lo {
			t.Fatalf("halves %x %x", h, l)
		}
		if back, err := msg.IDFromInt(id.Int()); err != nil || back != id {
			t.Fatalf("through the integer: %v %v", back, err)
		}
		if back, err := msg.IDFromBytes(id[:]); err != nil || back != id {
			t.Fatalf("through bytes: %v %v", back, err)
		}
		for _, text := range []string{id.String(), id.Hex()} {
			if back, err := msg.ParseID(text); err != nil || back != id {
				t.Fatalf("through %q: %v %v", text, back, err)
			}
		}
		n := rapid.Uint64Min(1).Draw(t, "n")
		want := new(big.Int).Mod(id.Int(), new(big.Int).SetUint64(n)).Uint64()
		if got := id.Mod(n); got != want {
			t.Fatalf("%v mod %d = %d, want %d", id, n, got, want)
		}
		other := msg.IDFromUint64s(rapid.Uint64().Draw(t, "hi2"), rapid.Uint64().Draw(t, "lo2"))
		if got, want := id.Compare(other), id.Int().Cmp(other.Int()); got != want {
			t.Fatalf("Compare = %d, the integers say %d", got, want)
		}
	})
}

func TestIDRefusesWhatDoesNotFit(t *testing.T) {
	if _, err := msg.IDFromInt(big.NewInt(-1)); err == nil {
		t.Error("a negative integer became an id")
	}
	if _, err := msg.IDFromInt(new(big.Int).Lsh(big.NewInt(1), 128)); err == nil {
		t.Error("2^128 became an id")
	}
	for _, n := range []int{0, 15, 17} {
		if _, err := msg.IDFromBytes(make([]byte, n)); err == nil {
			t.Errorf("%d bytes became an id", n)
		}
	}
}

func TestIDInJSON(t *testing.T) {
	type record struct {
		ID msg.ID `json:"id"`
	}
	in := record{msg.IDFromUint64(7)}
	text, err := json.Marshal(in)
	if err != nil || string(text) != `{"id":"00000000-0000-0000-0000-000000000007"}` {
		t.Fatalf("%s %v", text, err)
	}
	var out record
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Fatalf("%v %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"id":"7"}`), &out); err == nil {
		t.Fatal("a short id was accepted")
	}
}

func TestShardOf(t *testing.T) {
	big := msg.IDFromUint64s(1, 0) // 2^64, which is 1 mod 3
	for _, c := range []struct {
		id      msg.ID
		shards  uint64
		reserve bool
		want    uint64
	}{
		{big, 1, false, 0}, {big, 1, true, 0}, {big, 3, false, 1}, {big, 4, false, 0}, {big, 4, true, 2},
		{msg.IDFromUint64(5), 4, false, 1}, {msg.IDFromUint64(6), 4, true, 1},
	} {
		if got := msg.ShardOf(c.id, c.shards, c.reserve); got != c.want {
			t.Errorf("ShardOf(%v, %d, %v) = %d, want %d", c.id, c.shards, c.reserve, got, c.want)
		}
	}
}

func TestRoutingRule(t *testing.T) {
	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	for rule, want := range map[msg.RoutingRule]msg.ID{
		msg.RouteByOrg: key.Org, msg.RouteByType: key.Type, msg.RouteByAggregate: key.Aggregate,
	} {
		if got := rule.RoutingID(key); got != want {
			t.Errorf("%v routes by %v", rule, got)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	b := msg.Batch{Version: 1, Events: []msg.Event{{EventSeq: 4, Value: []byte("one")}, {EventSeq: 5, Value: []byte("two")}}}
	c := b.Clone()
	copy(b.Events[0].Value, "xxx")
	b.Events[1].EventSeq = 9
	if string(c.Events[0].Value) != "one" || string(c.Events[1].Value) != "two" || c.LastEventSeq() != 5 {
		t.Errorf("the clone changed with the original: %+v", c)
	}
	c.Events[0].Value = append(c.Events[0].Value, '!')
	if string(c.Events[1].Value) != "two" {
		t.Error("appending to one payload of the clone wrote into the next")
	}
}
