package wire_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/tinylib/msgp/msgp"
)

// layout restates the field names of a record, in order, with the layout of
// the records inside: of a field itself, of the elements of a list, or of the
// keys and values of a map. The layout is written from the protocol's tables,
// not from the codec.
type layout struct {
	names    []string
	optional []int
	inner    map[int]layout
	key      *layout // the field's value is a map with keys of this layout
}

var (
	keyLayout   = layout{names: []string{"org_id", "aggregate_type_id", "aggregate_id"}}
	eventLayout = layout{names: []string{"client_seq", "event_seq", "event_id", "event_timestamp",
		"event_type_major", "event_type_minor", "event_value", "iv"}, optional: []int{2, 7}}
	batchLayout = layout{names: []string{"aggregate_version", "client_id", "user_id", "server_timestamp", "events"},
		optional: []int{2}, inner: map[int]layout{4: eventLayout}}
	filtersLayout = layout{names: []string{"from_aggregate_version", "to_aggregate_version", "include_event_types",
		"exclude_client_id", "include_client_id", "exclude_user_id", "include_user_id", "min_server_timestamp",
		"max_server_timestamp", "min_client_seq", "max_client_seq", "min_event_timestamp", "max_event_timestamp",
		"min_event_seq", "max_event_seq"}, optional: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}}
	writeLayout = layout{names: []string{"events", "allow_create", "expected_version", "enforce_client_idempotency"},
		optional: []int{2}, inner: map[int]layout{0: eventLayout}, key: &keyLayout}
	deleteLayout = layout{names: []string{"allow_recreate", "allow_sequence_continuation", "expected_version"},
		optional: []int{2}, key: &keyLayout}
	schemaKeyLayout = layout{names: []string{"org_id", "aggregate_type_id", "event_type_major", "event_type_minor"}}
	entryLayout     = layout{names: []string{"org_id", "aggregate_type_id", "aggregate_id", "operation",
		"from_aggregate_version", "to_aggregate_version", "keep_from_aggregate_version"}, optional: []int{4, 5, 6}}
	itemLayout = layout{names: []string{"is_deleted", "org_id", "aggregate_type_id", "aggregate_id", "event_batch_count",
		"min_event_timestamp", "max_event_timestamp", "min_aggregate_version", "max_aggregate_version", "min_event_seq",
		"max_event_seq", "min_server_timestamp", "max_server_timestamp", "compressed_size", "uncompressed_size"}}
	ackLayout = layout{names: []string{"correlation_id"}, optional: []int{0}}
)

var layouts = map[any]layout{
	msg.TypeDetailsRequest: {names: []string{"correlation_id", "aggregate_key"}, optional: []int{0},
		inner: map[int]layout{1: keyLayout}},
	msg.TypeReadRequest: {names: []string{"correlation_id", "aggregate_key", "filters"}, optional: []int{0},
		inner: map[int]layout{1: keyLayout, 2: filtersLayout}},
	msg.TypeWriteRequest: {names: []string{"correlation_id", "client_id", "user_id", "writes"}, optional: []int{0, 2},
		inner: map[int]layout{3: writeLayout}},
	msg.TypeTrimStartRequest: {names: []string{"correlation_id", "aggregate_key", "keep_from_aggregate_version",
		"client_id", "user_id"}, optional: []int{0, 4}, inner: map[int]layout{1: keyLayout}},
	msg.TypeDeleteRequest: {names: []string{"correlation_id", "client_id", "user_id", "deletes"}, optional: []int{0, 2},
		inner: map[int]layout{3: deleteLayout}},
	msg.TypeWatchRequest: {names: []string{"correlation_id", "requested_latency_ms", "shard_id", "orgs",
		"aggregate_types", "aggregates", "operation_types"}, optional: []int{0, 1, 2, 3, 4, 5, 6}},
	msg.TypeListOrgsRequest: {names: []string{"correlation_id", "shard_id", "cursor"}, optional: []int{0, 2}},
	msg.TypeListTypesRequest: {names: []string{"correlation_id", "shard_id", "org_id", "cursor"},
		optional: []int{0, 2, 3}},
	msg.TypeListAggregatesRequest: {names: []string{"correlation_id", "shard_id", "org_id", "aggregate_type_id", "cursor"},
		optional: []int{0, 2, 3, 4}},
	msg.TypeRegisterSchemaRequest: {names: []string{"correlation_id", "client_id", "user_id", "schema_key", "schema_type",
		"schema"}, optional: []int{0, 2}, inner: map[int]layout{3: schemaKeyLayout}},
	msg.TypeIdentifyRequest: {names: []string{"correlation_id", "public_key", "nonce", "signature", "api_key",
		"known_dict_sha256"}, optional: []int{0, 1, 2, 3, 4, 5}},

	msg.TypeDetailsResponse: {names: []string{"correlation_id", "min_aggregate_version", "max_aggregate_version",
		"max_event_seq", "is_deleted", "allow_recreate", "allow_sequence_continuation", "last_server_timestamp",
		"last_client_id", "last_user_id"}, optional: []int{0, 9}},
	msg.TypeReadResponse: {names: []string{"correlation_id", "event_batches", "next_aggregate_version"},
		optional: []int{0, 2}, inner: map[int]layout{1: batchLayout}},
	msg.TypeWriteResponse:          {names: []string{"correlation_id", "max_aggregate_version"}, optional: []int{0, 1}},
	msg.TypeTrimStartResponse:      ackLayout,
	msg.TypeDeleteResponse:         ackLayout,
	msg.TypeRegisterSchemaResponse: ackLayout,
	msg.TypeProtocolErrorResponse:  {},
	msg.TypeErrorResponse:          {names: []string{"correlation_id", "error_code", "error_message"}, optional: []int{0}},
	msg.TypeWatchResponse:          {names: []string{"events"}, inner: map[int]layout{0: entryLayout}},
	msg.TypeListOrgsResponse: {names: []string{"correlation_id", "orgs", "next_cursor"}, optional: []int{0, 2},
		inner: map[int]layout{1: {names: []string{"org_id"}}}},
	msg.TypeListTypesResponse: {names: []string{"correlation_id", "aggregate_types", "next_cursor"}, optional: []int{0, 2},
		inner: map[int]layout{1: {names: []string{"org_id", "aggregate_type_id"}}}},
	msg.TypeListAggregatesResponse: {names: []string{"correlation_id", "aggregates", "next_cursor"}, optional: []int{0, 2},
		inner: map[int]layout{1: itemLayout}},
	msg.TypeIdentifyResponse: {names: []string{"correlation_id", "client_id", "access_level", "compression_dict_sha256",
		"compression_dict_bytes"}, optional: []int{0, 1, 2, 3, 4}},
}

// recast rewrites records of a version 3 body from arrays to maps.
type recast struct {
	t        *testing.T
	numbered bool // keys are field numbers, else names
	reversed bool // fields come last first
	sparse   bool // fields that are nil are left out
	strange  bool // keys nobody knows are mixed in
	lacking  string
}

// everyKind is one value that nests values of each MessagePack format.
var everyKind = slices.Concat(
	[]byte{0xdc, 0, 35, 0xc0, 0xc2, 0xc3, 5, 0xe0},
	[]byte{0xc4, 1, 9, 0xc5, 0, 1, 9, 0xc6, 0, 0, 0, 1, 9},
	[]byte{0xc7, 2, 7, 9, 9, 0xc8, 0, 1, 7, 9, 0xc9, 0, 0, 0, 1, 7, 9},
	[]byte{0xca, 1, 2, 3, 4, 0xcb, 1, 2, 3, 4, 5, 6, 7, 8},
	[]byte{0xcc, 1, 0xcd, 1, 2, 0xce, 1, 2, 3, 4, 0xcf, 1, 2, 3, 4, 5, 6, 7, 8},
	[]byte{0xd0, 1, 0xd1, 1, 2, 0xd2, 1, 2, 3, 4, 0xd3, 1, 2, 3, 4, 5, 6, 7, 8},
	[]byte{0xd4, 7, 1, 0xd5, 7, 1, 2, 0xd6, 7, 1, 2, 3, 4, 0xd7, 7, 1, 2, 3, 4, 5, 6, 7, 8},
	[]byte{0xd8, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	[]byte{0xa1, 'x', 0xd9, 1, 'x', 0xda, 0, 1, 'x', 0xdb, 0, 0, 0, 1, 'x'},
	[]byte{0x91, 0x90, 0x81, 1, 0x80, 0xde, 0, 1, 1, 2, 0xdf, 0, 0, 0, 1, 1, 2},
	[]byte{0xdd, 0, 0, 0, 1, 0xdc, 0, 1, 0xc0},
)

// record appends the record at the start of in to out as a map.
func (r recast) record(out, in []byte, l layout) (_, rest []byte) {
	n, in, err := msgp.ReadArrayHeaderBytes(in)
	if err != nil || int(n) != len(l.names) {
		r.t.Fatalf("a record of %d fields, want %v: %v", n, l.names, err)
	}
	var entries [][]byte
	for i, name := range l.names {
		entry := msgp.AppendString(nil, name)
		if r.numbered {
			entry = msgp.AppendUint64(nil, uint64(i))
		}
		absent := msgp.IsNil(in)
		entry, in = r.value(entry, in, l, i)
		if absent && r.sparse && slices.Contains(l.optional, i) || name == r.lacking {
			continue
		}
		entries = append(entries, entry)
	}
	if r.strange {
		entries = append(entries, append(msgp.AppendString(nil, "colour"), everyKind...), []byte{99, 0xff})
	}
	if r.reversed {
		slices.Reverse(entries)
	}
	out = msgp.AppendMapHeader(out, uint32(len(entries)))
	return append(out, slices.Concat(entries...)...), in
}

// value appends to out what field i of a record holds.
func (r recast) value(out, in []byte, l layout, i int) (_, rest []byte) {
	inner, nested := l.inner[i]
	list := nested && msgp.NextType(in) == msgp.ArrayType && isList(l, i)
	switch {
	case nested && inner.key != nil:
		n, rest, err := msgp.ReadMapHeaderBytes(in)
		if err != nil {
			r.t.Fatal(err)
		}
		out, in = msgp.AppendMapHeader(out, n), rest
		for range n {
			out, in = r.record(out, in, *inner.key)
			out, in = r.record(out, in, inner)
		}
		return out, in
	case list:
		n, rest, err := msgp.ReadArrayHeaderBytes(in)
		if err != nil {
			r.t.Fatal(err)
		}
		out, in = msgp.AppendArrayHeader(out, n), rest
		for range n {
			out, in = r.record(out, in, inner)
		}
		return out, in
	case nested:
		return r.record(out, in, inner)
	}
	rest, err := msgp.Skip(in)
	if err != nil {
		r.t.Fatal(err)
	}
	return append(out, in[:len(in)-len(rest)]...), rest
}

// isList tells a list of records from one record: lists have plural names.
func isList(l layout, i int) bool {
	return slices.Contains([]string{"events", "event_batches", "orgs", "aggregate_types", "aggregates"}, l.names[i])
}

func typeOf(m any) any {
	if req, ok := m.(msg.Request); ok {
		return req.RequestType()
	}
	return m.(msg.Response).ResponseType()
}

// TestRecordsInMapForm decodes every message with its records as maps: keyed
// by names or numbers, in any order, optional fields left out, unknown keys
// mixed in. Protocol section 5.4.
func TestRecordsInMapForm(t *testing.T) {
	forms := map[string]recast{
		"names":    {},
		"numbers":  {numbered: true},
		"reversed": {reversed: true},
		"sparse":   {sparse: true, reversed: true},
		"strange":  {strange: true, reversed: true},
		"all":      {numbered: true, strange: true, sparse: true, reversed: true},
	}
	for name, want := range everyMessage() {
		body := encodeFrame(t, wire.V3, want)[wire.HeaderSize:]
		for form, r := range forms {
			r.t = t
			mapped, rest := r.record(nil, body, layouts[typeOf(want)])
			if len(rest) > 0 {
				t.Fatalf("%s: %d bytes left over", name, len(rest))
			}
			got, err := decodeAs(wire.V3, typeOf(want), mapped)
			if err != nil {
				t.Errorf("%s, %s: %v\n%x", name, form, err, mapped)
			} else if !reflect.DeepEqual(dropEmpty(got), want) {
				t.Errorf("%s, %s decodes to\n%+v, want\n%+v", name, form, got, want)
			}
		}
	}
}

// TestMapFormNeedsRequiredFields leaves out each field that may not be nil.
func TestMapFormNeedsRequiredFields(t *testing.T) {
	for name, m := range everyMessage() {
		l := layouts[typeOf(m)]
		body := encodeFrame(t, wire.V3, m)[wire.HeaderSize:]
		for i, field := range l.names {
			if slices.Contains(l.optional, i) {
				continue
			}
			mapped, _ := recast{t: t, lacking: field}.record(nil, body, l)
			if _, err := decodeAs(wire.V3, typeOf(m), mapped); err == nil {
				t.Errorf("%s without %s is accepted", name, field)
			}
		}
	}
}

func TestMapFormRefuses(t *testing.T) {
	for _, c := range []struct{ name, body, why string }{
		{"a field twice", "82 a873686172645f6964 02 a873686172645f6964 03", "shard_id occurs twice"},
		{"a field by name and number", "82 a873686172645f6964 02 01 03", "shard_id occurs twice"},
		{"a missing field", "80", "shard_id is missing"},
		{"a bin key", "81 c40173 02", "a field name or number, found 0xc4"},
		{"a negative key", "81 ff 02", "unsigned integer, found -1"},
		{"a value cut off", "81 a873686172645f6964 cd01", "ends inside"},
		{"no value", "81 a873686172645f6964", "ends inside a value"},
		{"0xc1", "82 01 02 a163 c1", "begins no value"},
		{"an extension cut off", "82 01 02 a163 c7ff0001", "ends inside an extension"},
		{"nested lists without end", "82 01 02 a163 dd0000000500000000", "does not fit"},
		{"nested lists sharing bytes", "82 01 02 a163 9391929101", "ends inside a value"},
		{"a wrong value", "81 a873686172645f6964 a101", "an integer, found 0xa1"},
	} {
		check(t, wire.V3, c.name, msg.TypeListOrgsRequest, unhex(t, c.body), nil, c.why)
	}
	check(t, wire.V3, "as map", msg.TypeListOrgsRequest, unhex(t, "81a873686172645f696402"), &msg.ListOrgsRequest{Shard: 2}, "")
}

// TestDeepNestingIsSkippedWithoutRecursion would exhaust a stack of one frame
// per level.
func TestDeepNestingIsSkippedWithoutRecursion(t *testing.T) {
	body := append(unhex(t, "82 01 02 a163"), slices.Repeat([]byte{0x91}, 8<<20)...)
	check(t, wire.V3, "deep", msg.TypeListOrgsRequest, append(body, 0xc0), &msg.ListOrgsRequest{Shard: 2}, "")
}
