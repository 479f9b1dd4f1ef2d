package wire_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// unhex reads hexadecimal digits; blanks are for the reader.
func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	id16   = "c410 01020304050607080910111213141516"
	id16V2 = "16151413121110090807060504030201"
	zero8  = "0000000000000000"
)

// inPage puts the bytes of an event into a version 3 read response of one batch.
func inPage(event string) string { return "93c0 91 9501" + id16 + "c000 91" + event + "c0" }

// TestVersion3Tolerance covers what a version 3 decoder accepts beyond what an
// encoder writes, and what it refuses. Protocol sections 5.2, 5.4 and 20.
func TestVersion3Tolerance(t *testing.T) {
	five := &msg.ListOrgsRequest{Shard: 5}
	withValue := func(value string) *msg.ReadResponse {
		return &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, ClientID: msg.ID(unhex(t, id16)[2:]),
			Events: []msg.Event{{ClientSeq: 1, Timestamp: 1700000000000, Major: 10, Value: []byte(value)}}}}}
	}
	withIV := withValue("A")
	withIV.Batches[0].Events[0].IV = msg.Some(msg.IV{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	const time = "cf0000018bcfe56800"

	for _, c := range []struct {
		name string
		as   any
		body string
		want any    // accepted as this,
		why  string // or refused because
	}{
		{name: "all nil", as: msg.TypeIdentifyRequest, body: "96c0c0c0c0c0c0", want: &msg.IdentifyRequest{}},
		{name: "known hash missing", as: msg.TypeIdentifyRequest, body: "95c0c0c0c0c0", want: &msg.IdentifyRequest{}},
		{name: "too short", as: msg.TypeIdentifyRequest, body: "94c0c0c0c0", why: "6 fields, not 4"},
		{name: "too long", as: msg.TypeIdentifyRequest, body: "97c0c0c0c0c0c0c0", why: "6 fields, not 7"},
		{name: "dictionary missing", as: msg.TypeIdentifyResponse, body: "93c0c0c0", want: &msg.IdentifyResponse{}},
		{name: "dictionary bytes missing", as: msg.TypeIdentifyResponse, body: "94c0c0c0a161", want: &msg.IdentifyResponse{DictSHA256: msg.Some("a")}},
		{name: "too short", as: msg.TypeIdentifyResponse, body: "92c0c0", why: "5 fields, not 2"},
		{name: "too long", as: msg.TypeIdentifyResponse, body: "96c0c0c0c0c0c0", why: "5 fields, not 6"},
		{name: "dictionary as bin", as: msg.TypeIdentifyResponse, body: "95c0c0c0c0c403010203", want: &msg.IdentifyResponse{DictBytes: []byte{1, 2, 3}}},
		{name: "dictionary as wide integers", as: msg.TypeIdentifyResponse, body: "95c0c0c0c0 92 cd00ff d07f", want: &msg.IdentifyResponse{DictBytes: []byte{255, 127}}},
		{name: "empty dictionary", as: msg.TypeIdentifyResponse, body: "95c0c0c0c090", want: &msg.IdentifyResponse{DictBytes: []byte{}}},
		{name: "dictionary of large integers", as: msg.TypeIdentifyResponse, body: "95c0c0c0c0 91 cd0100", why: "at most 255"},
		{name: "dictionary as str", as: msg.TypeIdentifyResponse, body: "95c0c0c0c0a161", why: "a dictionary, found 0xa1"},
		{name: "access as str", as: msg.TypeIdentifyResponse, body: "95c0c0a9526561645772697465c0c0", why: "an integer, found 0xa9"},
		{name: "access 0", as: msg.TypeIdentifyResponse, body: "95c0c000c0c0", why: "found 0"},
		{name: "access 3", as: msg.TypeIdentifyResponse, body: "95c0c003c0c0", why: "found 3"},
		{name: "access beyond a byte", as: msg.TypeIdentifyResponse, body: "95c0c0cd0101c0c0", why: "found 257"},

		{name: "list", as: msg.TypeListOrgsRequest, body: "93c000c0", want: &msg.ListOrgsRequest{}},
		{name: "list too short", as: msg.TypeListOrgsRequest, body: "92c000", why: "3 fields, not 2"},
		{name: "list too long", as: msg.TypeListOrgsRequest, body: "94c000c0c0", why: "3 fields, not 4"},
		{name: "array16 of the right length", as: msg.TypeListOrgsRequest, body: "dc0003c005c0", want: five},
		{name: "array32 of the right length", as: msg.TypeListOrgsRequest, body: "dd00000003c005c0", want: five},
		{name: "trailing bytes", as: msg.TypeListOrgsRequest, body: "93c000c0ffff", want: &msg.ListOrgsRequest{}},
		{name: "uint64", as: msg.TypeListOrgsRequest, body: "93c0cf0000000000000005c0", want: five},
		{name: "int64", as: msg.TypeListOrgsRequest, body: "93c0d30000000000000005c0", want: five},
		{name: "uint8", as: msg.TypeListOrgsRequest, body: "93c0cc05c0", want: five},
		{name: "uint16", as: msg.TypeListOrgsRequest, body: "93c0cd0005c0", want: five},
		{name: "uint32", as: msg.TypeListOrgsRequest, body: "93c0ce00000005c0", want: five},
		{name: "int8", as: msg.TypeListOrgsRequest, body: "93c0d005c0", want: five},
		{name: "int16", as: msg.TypeListOrgsRequest, body: "93c0d10005c0", want: five},
		{name: "int32", as: msg.TypeListOrgsRequest, body: "93c0d200000005c0", want: five},
		{name: "largest", as: msg.TypeListOrgsRequest, body: "93c0cfffffffffffffffffc0", want: &msg.ListOrgsRequest{Shard: 1<<64 - 1}},
		{name: "negative fixint", as: msg.TypeListOrgsRequest, body: "93c0ffc0", why: "unsigned integer, found -1"},
		{name: "negative int8", as: msg.TypeListOrgsRequest, body: "93c0d080c0", why: "unsigned integer, found -128"},
		{name: "negative int64", as: msg.TypeListOrgsRequest, body: "93c0d3ffffffffffffffffc0", why: "unsigned integer, found -1"},
		{name: "float", as: msg.TypeListOrgsRequest, body: "93c0ca00000000c0", why: "an integer, found 0xca"},
		{name: "nil where required", as: msg.TypeListOrgsRequest, body: "93c0c0c0", why: "an integer, found 0xc0"},
		{name: "bool for integer", as: msg.TypeListOrgsRequest, body: "93c0c3c0", why: "an integer, found 0xc3"},
		{name: "no record", as: msg.TypeListOrgsRequest, body: "05", why: "a record of ListOrgsRequest"},
		{name: "nothing", as: msg.TypeListOrgsRequest, body: "", why: "ends inside a record"},

		{name: "id as integer", as: msg.TypeListOrgsRequest, body: "93 cd0102 00c0", want: &msg.ListOrgsRequest{
			Correlated: msg.Correlated{CorrelationID: msg.Some(msg.IDFromUint64(0x102))}}},
		{name: "id as bin16", as: msg.TypeListOrgsRequest, body: "93 c50010" + id16[5:] + "00c0", want: &msg.ListOrgsRequest{
			Correlated: msg.Correlated{CorrelationID: msg.Some(msg.ID(unhex(t, id16)[2:]))}}},
		{name: "id of 15 bytes", as: msg.TypeListOrgsRequest, body: "93 c40f010203040506070809101112131415 00c0", why: "16 bytes, not 15"},
		{name: "id of 17 bytes", as: msg.TypeListOrgsRequest, body: "93 c4110102030405060708091011121314151617 00c0", why: "16 bytes, not 17"},
		{name: "id as str", as: msg.TypeListOrgsRequest, body: "93 b001020304050607080910111213141516 00c0", why: "an id, found 0xb0"},
		{name: "negative id", as: msg.TypeListOrgsRequest, body: "93 ff 00c0", why: "found -1"},

		{name: "event without iv", as: msg.TypeReadResponse, body: inPage("970100c0" + time + "0a00c40141"), want: withValue("A")},
		{name: "event without value", as: msg.TypeReadResponse, body: inPage("960100c0" + time + "0a00"), why: "8 fields, not 6"},
		{name: "event of 9", as: msg.TypeReadResponse, body: inPage("990100c0" + time + "0a00c40141c0c0"), why: "8 fields, not 9"},
		{name: "value as str", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00a3616263c0"), want: withValue("abc")},
		{name: "value as str that is not UTF-8", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00a1ffc0"), want: withValue("\xff")},
		{name: "value as array", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00 93 61cc62cd0063 c0"), want: withValue("abc")},
		{name: "value as bin16", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00 c50001 41 c0"), want: withValue("A")},
		{name: "value as bin32", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00 c600000001 41 c0"), want: withValue("A")},
		{name: "empty value", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00c400c0"), want: withValue("")},
		{name: "value nil", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00c0c0"), why: "a byte string, found 0xc0"},
		{name: "value of large integers", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a0091cd0100c0"), why: "at most 255"},
		{name: "iv", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00c40141c40c0102030405060708090a0b0c"), want: withIV},
		{name: "iv as array", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00c401419c0102030405060708090a0b0c"), want: withIV},
		{name: "iv of 11", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00c40141c40b0102030405060708090a0b"), why: "12 bytes, not 11"},
		{name: "iv of 13 as array", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00c401419d0102030405060708090a0b0c0d"), why: "12 bytes, not 13"},
		{name: "iv as str", as: msg.TypeReadResponse, body: inPage("980100c0" + time + "0a00c40141ac0102030405060708090a0b0c"), why: "an iv, found 0xac"},
		{name: "nil list", as: msg.TypeReadResponse, body: "93c0c0c0", why: "a list, found 0xc0"},

		{name: "bool as integer", as: msg.TypeDetailsResponse, body: "9ac0010101 01 c2c200" + id16 + "c0", why: "a bool, found 0x01"},
		{name: "text as bin", as: msg.TypeErrorResponse, body: "93c001c40161", why: "a text, found 0xc4"},
		{name: "text that is not UTF-8", as: msg.TypeErrorResponse, body: "93c001a1ff", why: "not UTF-8"},
		{name: "text as str8, str16", as: msg.TypeErrorResponse, body: "93c001da000161", want: &msg.ErrorResponse{Code: 1, Message: "a"}},
		{name: "code beyond 32 bits", as: msg.TypeErrorResponse, body: "93c0cf0000000100000000a161", why: "at most 4294967295"},
		{name: "operation beyond 8 bits", as: msg.TypeWatchRequest, body: "97c0c0c0c0c0c091cd0100", why: "at most 255"},
		{name: "unknown operation", as: msg.TypeWatchRequest, body: "97c0c0c0c0c0c091ccff", want: &msg.WatchRequest{Operations: []msg.Operation{255}}},
		{name: "empty and absent sets", as: msg.TypeWatchRequest, body: "97c0c0c0 90 c0 90 90", want: &msg.WatchRequest{
			Orgs: []msg.ID{}, Aggregates: []msg.ID{}, Operations: []msg.Operation{}}},

		{name: "no fields", as: msg.TypeProtocolErrorResponse, body: "90", want: &msg.ProtocolErrorResponse{}},
		{name: "three fields", as: msg.TypeProtocolErrorResponse, body: "93c000a0", why: "0 fields, not 3"},
		{name: "type 13", as: msg.RequestType(13), body: "90", why: "unknown"},
		{name: "type 15", as: msg.ResponseType(15), body: "90", why: "unknown"},
	} {
		check(t, wire.V3, c.name, c.as, unhex(t, c.body), c.want, c.why)
	}
}

// check decodes a body and compares the message, or the reason of the refusal.
func check(t *testing.T, v wire.Version, name string, as any, body []byte, want any, why string) {
	t.Helper()
	got, err := decodeAs(v, as, body)
	var refused *wire.DecodeError
	switch {
	case want != nil && err != nil:
		t.Errorf("%v: %s: refused: %v", as, name, err)
	case want != nil && !reflect.DeepEqual(got, want):
		t.Errorf("%v: %s: decodes to\n%+v, want\n%+v", as, name, got, want)
	case want == nil && err == nil:
		t.Errorf("%v: %s: accepted as %+v", as, name, got)
	case want == nil && (!errors.As(err, &refused) || !strings.Contains(refused.Why, why)):
		t.Errorf("%v: %s: refused with %v, want a DecodeError about %q", as, name, err, why)
	}
}

func decodeAs(v wire.Version, as any, body []byte) (any, error) {
	if t, ok := as.(msg.RequestType); ok {
		return wire.DecodeRequest(v, t, body)
	}
	return wire.DecodeResponse(v, as.(msg.ResponseType), body)
}

// TestVersion2Tolerance is the same for version 2. Protocol section 5.3.
func TestVersion2Tolerance(t *testing.T) {
	const three = "0300000000000000"
	for _, c := range []struct {
		name string
		as   any
		body string
		want any
		why  string
	}{
		{name: "list", as: msg.TypeListOrgsRequest, body: "00" + three + "00", want: &msg.ListOrgsRequest{Shard: 3}},
		{name: "trailing bytes", as: msg.TypeListOrgsRequest, body: "00" + three + "00 ffff", want: &msg.ListOrgsRequest{Shard: 3}},
		{name: "padding gives a trailing option", as: msg.TypeListOrgsRequest, body: "00" + three, want: &msg.ListOrgsRequest{Shard: 3}},
		{name: "padding completes an integer", as: msg.TypeListOrgsRequest, body: "0003", want: &msg.ListOrgsRequest{Shard: 3}},
		{name: "padding gives everything", as: msg.TypeListOrgsRequest, body: "", want: &msg.ListOrgsRequest{}},
		{name: "padding completes an id", as: msg.TypeListOrgsRequest, body: "01 05", want: &msg.ListOrgsRequest{
			Correlated: msg.Correlated{CorrelationID: msg.Some(msg.IDFromUint64(5))}}},
		{name: "padding completes a text", as: msg.TypeIdentifyRequest, body: "00 01" + three + "61", want: &msg.IdentifyRequest{
			PublicKey: msg.Some("a\x00\x00")}},
		{name: "padding ends at 1007 bytes", as: msg.TypeIdentifyRequest, body: "00 01 f003000000000000 61", why: "count of 1008"},
		{name: "no padding of a variable body", as: msg.TypeWriteRequest, body: "00" + id16V2 + "00", why: "ends inside a 64-bit integer"},
		{name: "no padding of responses", as: msg.TypeWriteResponse, body: "00", why: "ends inside a byte"},
		{name: "tag 2", as: msg.TypeListOrgsRequest, body: "02", why: "0 or 1, found 2"},
		{name: "bool 2", as: msg.TypeDetailsResponse, body: "00" + three + three + three + "02", why: "0 or 1, found 2"},
		{name: "access 0", as: msg.TypeIdentifyResponse, body: "00 00 0100000000 00 00", want: &msg.IdentifyResponse{Access: msg.Some(msg.ReadWrite)}},
		{name: "access 1", as: msg.TypeIdentifyResponse, body: "00 00 0101000000 00 00", want: &msg.IdentifyResponse{Access: msg.Some(msg.ReadOnly)}},
		{name: "access 2", as: msg.TypeIdentifyResponse, body: "00 00 0102000000 00 00", why: "found 3"},
		{name: "access 2^32-1", as: msg.TypeIdentifyResponse, body: "00 00 01ffffffff 00 00", why: "found 4294967296"},
		{name: "dictionary cut", as: msg.TypeIdentifyResponse, body: "00 00 00 00 01" + three + "0102", why: "count of 3 does not fit"},
		{name: "empty dictionary", as: msg.TypeIdentifyResponse, body: "00 00 00 00 01" + zero8, want: &msg.IdentifyResponse{DictBytes: []byte{}}},
		{name: "id order", as: msg.TypeListOrgsResponse, body: "00 0100000000000000" + id16V2 + "00", want: &msg.ListOrgsResponse{
			Orgs: []msg.ID{msg.ID(unhex(t, id16)[2:])}}},
		{name: "text that is not UTF-8", as: msg.TypeErrorResponse, body: "00 01000000 0100000000000000 ff", why: "not UTF-8"},
		{name: "empty and absent sets", as: msg.TypeWatchRequest, body: "00 00 00 01" + zero8 + "00 01" + zero8 + "01" + zero8, want: &msg.WatchRequest{
			Orgs: []msg.ID{}, Aggregates: []msg.ID{}, Operations: []msg.Operation{}}},
		{name: "empty record", as: msg.TypeProtocolErrorResponse, body: "", want: &msg.ProtocolErrorResponse{}},
	} {
		check(t, wire.V2, c.name, c.as, unhex(t, c.body), c.want, c.why)
	}
}

func TestUnknownVersionsAreRefused(t *testing.T) {
	for _, v := range []wire.Version{0, 1, 4} {
		check(t, v, "version", msg.TypeListOrgsRequest, []byte{0x93, 0xc0, 0, 0xc0}, nil, "versions 2 and 3")
		check(t, v, "version", msg.TypeProtocolErrorResponse, []byte{0x90}, nil, "versions 2 and 3")
		if err := wire.DecodeRead(v, []byte{0x93, 0xc0, 0x90, 0xc0}, new(wire.ReadPage)); err == nil {
			t.Errorf("version %d: DecodeRead accepts", v)
		}
	}
}

// TestRepeatedMapKeys: in a map the last entry of a key wins. Protocol section 5.1.
func TestRepeatedMapKeys(t *testing.T) {
	other := key
	other.Aggregate = org
	write := func(k msg.Key, seq uint64) msg.AggregateWrite {
		return msg.AggregateWrite{Key: k, Events: []msg.Event{{ClientSeq: seq, Major: 1, Value: []byte{}}}, DenyCreate: true}
	}
	remove := func(k msg.Key, version uint64) msg.AggregateDelete {
		return msg.AggregateDelete{Key: k, ExpectedVersion: msg.Some(version)}
	}
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		writes := encodeFrame(t, v, &msg.WriteRequest{Writes: []msg.AggregateWrite{write(key, 1), write(other, 2), write(key, 3)}})
		check(t, v, "writes", msg.TypeWriteRequest, writes[wire.HeaderSize:],
			&msg.WriteRequest{Writes: []msg.AggregateWrite{write(other, 2), write(key, 3)}}, "")
		deletes := encodeFrame(t, v, &msg.DeleteRequest{Deletes: []msg.AggregateDelete{remove(key, 1), remove(key, 2), remove(other, 3)}})
		check(t, v, "deletes", msg.TypeDeleteRequest, deletes[wire.HeaderSize:],
			&msg.DeleteRequest{Deletes: []msg.AggregateDelete{remove(key, 2), remove(other, 3)}}, "")
	}
}

// TestIntegerForms: version 3 writes the shortest unsigned form. Protocol section 20.
func TestIntegerForms(t *testing.T) {
	for n, form := range map[uint64]string{
		0: "00", 127: "7f", 128: "cc80", 255: "ccff", 256: "cd0100", 65535: "cdffff", 65536: "ce00010000",
		1 << 32: "cf0000000100000000", 1<<64 - 1: "cfffffffffffffffff",
	} {
		frame := encodeFrame(t, wire.V3, &msg.ListOrgsRequest{Shard: n})
		if got, want := frame[wire.HeaderSize:], unhex(t, "93c0"+form+"c0"); !reflect.DeepEqual(got, want) {
			t.Errorf("%d is written as %x, want %x", n, got, want)
		}
	}
}

// TestStringForms: version 3 writes the shortest bin and str forms.
func TestStringForms(t *testing.T) {
	for n, lead := range map[int][2]string{
		0: {"c400", "a0"}, 31: {"c41f", "bf"}, 32: {"c420", "d920"}, 255: {"c4ff", "d9ff"},
		256: {"c50100", "da0100"}, 65535: {"c5ffff", "daffff"}, 65536: {"c600010000", "db00010000"},
	} {
		text := strings.Repeat("x", n)
		bin := encodeFrame(t, wire.V3, &msg.ReadResponse{Batches: []msg.Batch{{Events: []msg.Event{{Value: []byte(text)}}}}})
		if want := lead[0] + hex.EncodeToString([]byte(text)) + "c0c0"; !strings.HasSuffix(hex.EncodeToString(bin), want) {
			t.Errorf("%d bytes are written as %.200x, want %.200s", n, bin, want)
		}
		str := encodeFrame(t, wire.V3, &msg.RegisterSchemaRequest{Schema: text})
		if want := "00" + lead[1] + hex.EncodeToString([]byte(text)); !strings.HasSuffix(hex.EncodeToString(str), want) {
			t.Errorf("a text of %d is written as %.200x, want %.200s", n, str, want)
		}
	}
}
