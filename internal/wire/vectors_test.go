package wire_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

var (
	org    = msg.MustParseID("11111111-1111-1111-1111-111111111111")
	typ    = msg.MustParseID("22222222-2222-2222-2222-222222222222")
	agg    = msg.MustParseID("33333333-3333-3333-3333-333333333333")
	corr   = msg.Correlated{CorrelationID: msg.Some(msg.MustParseID("66666666-6666-6666-6666-666666666666"))}
	client = msg.MustParseID("01020304-0506-0708-090a-0b0c0d0e0f10")
	event  = msg.MustParseID("77777777-7777-7777-7777-777777777777")
	key    = msg.Key{Org: org, Type: typ, Aggregate: agg}
)

const dictSHA = "bc33cc0cea46e28ca70d190c627f62ac8653e315f154cd7bbfd35cb3c01308e8"

// vectorMessages says what each vector of testdata/vectors.txt holds.
var vectorMessages = map[string]any{
	"Identify (14), anonymous": &msg.IdentifyRequest{},
	"Identify (14), API key of 19.8, known_dict_sha256 = the upstream default hash": &msg.IdentifyRequest{
		APIKey: msg.Some("KioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKio="), KnownDictSHA256: msg.Some(dictSHA)},
	"IdentifyResponse (16), all nil": &msg.IdentifyResponse{},
	"IdentifyResponse (16), client id, ReadWrite, hash, 8-byte dictionary 37a430ec007f80ff": &msg.IdentifyResponse{
		ClientID: msg.Some(client), Access: msg.Some(msg.ReadWrite), DictSHA256: msg.Some(dictSHA),
		DictBytes: []byte{0x37, 0xa4, 0x30, 0xec, 0x00, 0x7f, 0x80, 0xff}},
	"IdentifyResponse (16), ReadOnly only": &msg.IdentifyResponse{Access: msg.Some(msg.ReadOnly)},
	"Write (3), as 19.3": &msg.WriteRequest{Correlated: corr, ClientID: client, Writes: []msg.AggregateWrite{{
		Key:    key,
		Events: []msg.Event{{ClientSeq: 1, Timestamp: 1700000000000, Major: 10, Value: []byte(`{"a":1}`)}}, ExpectedVersion: msg.Some[uint64](0), EnforceIdempotency: true}}},
	"WriteResponse (3), corr, version 1": &msg.WriteResponse{Correlated: corr, MaxVersion: msg.Some[uint64](1)},
	"WriteResponse (3), all nil":         &msg.WriteResponse{},
	"Read (2), from 1":                   &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: 1}},
	"Read (2), from 5 to 100, event types [1, 200, 70000], exclude_client_id = client": &msg.ReadRequest{
		Key: key, Filters: msg.ReadFilters{From: 5, To: msg.Some[uint64](100),
			EventTypes: []uint64{1, 200, 70000}, ExcludeClientID: msg.Some(client)}},
	"ReadResponse (2), as 19.4": &msg.ReadResponse{Batches: []msg.Batch{{
		Version: 1, ClientID: client, ServerTimestamp: 1700000000123,
		Events: []msg.Event{{ClientSeq: 1, EventSeq: 42, EventID: msg.Some(event), Timestamp: 1700000000000, Major: 10,
			Value: []byte(`{"a":1}`), IV: msg.Some(msg.IV{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})}}}}},
	"Delete (5), allow_recreate, expected_version 7": &msg.DeleteRequest{ClientID: client, Deletes: []msg.AggregateDelete{{
		Key: key, AllowRecreate: true, ExpectedVersion: msg.Some[uint64](7)}}},
	"DeleteResponse (5)":          &msg.DeleteResponse{},
	"TrimStart (4), keep from 5":  &msg.TrimStartRequest{Key: key, KeepFrom: 5, ClientID: client},
	"TrimStartResponse (4)":       &msg.TrimStartResponse{},
	"AggregateDetails (1)":        &msg.DetailsRequest{Key: key},
	"WatchResponse (8), empty":    &msg.WatchResponse{},
	"RegisterSchemaResponse (12)": &msg.RegisterSchemaResponse{},
	"ProtocolErrorResponse (6)":   &msg.ProtocolErrorResponse{},
	"ListOrgs (7), shard 0":       &msg.ListOrgsRequest{},
	"Watch (6), as 19.5": &msg.WatchRequest{LatencyMS: msg.Some[uint64](100), Shard: msg.Some[uint64](0),
		Orgs: []msg.ID{org}, Operations: []msg.Operation{msg.OpWrite}},
	"AggregateDetailsResponse (1): min 1, max 3, max_event_seq 300, allow_recreate, timestamp 1700000000123, client": &msg.DetailsResponse{
		MinVersion: 1, MaxVersion: 3, MaxEventSeq: 300, AllowRecreate: true, LastServerTimestamp: 1700000000123, LastClientID: client},
	"WatchResponse (8), one Write entry, versions 1–2": &msg.WatchResponse{Notifications: []msg.Notification{{
		Key: key, Operation: msg.OpWrite, From: msg.Some[uint64](1), To: msg.Some[uint64](2)}}},
	"ListOrgsResponse (9), one org, next_cursor 12345": &msg.ListOrgsResponse{Orgs: []msg.ID{org}, NextCursor: msg.Some[uint64](12345)},
	"ListAggregateTypes (8), shard 3, org, cursor 67890": &msg.ListTypesRequest{
		Shard: 3, Org: msg.Some(org), Cursor: msg.Some[uint64](67890)},
	"ListAggregateTypesResponse (10), one item": &msg.ListTypesResponse{Types: []msg.TypeItem{{Org: org, Type: typ}}},
	"ListAggregates (9), shard 5, org, type":    &msg.ListAggregatesRequest{Shard: 5, Org: msg.Some(org), Type: msg.Some(typ)},
	"ListAggregatesResponse (11), one item with fields 4–14 = 1–11": &msg.ListAggregatesResponse{Aggregates: []msg.AggregateItem{{
		Key: key, BatchCount: 1, MinEventTimestamp: 2, MaxEventTimestamp: 3, MinVersion: 4, MaxVersion: 5, MinEventSeq: 6,
		MaxEventSeq: 7, MinServerTimestamp: 8, MaxServerTimestamp: 9, CompressedSize: 10, UncompressedSize: 11}}},
	`RegisterSchema (10), key (org, type, 10, 0), Json, {"type":"object"}`: &msg.RegisterSchemaRequest{
		ClientID: client, Key: msg.SchemaKey{Org: org, Type: typ, Major: 10}, SchemaType: msg.SchemaJSON, Schema: `{"type":"object"}`},
	"ErrorResponse (7), as 19.6": &msg.ErrorResponse{Correlated: corr, Code: msg.CodeWriteNotLeader,
		Message: `{"leader_address":"10.0.0.1:10000"}`},
}

type vector struct {
	name    string
	version wire.Version
	frame   []byte
}

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	name := ""
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		version := wire.V3
		switch word {
		case "name":
			name = rest
			continue
		case "v2":
			version = wire.V2
		case "v3":
		default:
			continue
		}
		frame, err := hex.DecodeString(rest)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, vector{name, version, frame})
	}
	return all
}

func TestVectorsBothWays(t *testing.T) {
	all := vectors(t)
	if len(all) != 2*len(vectorMessages) || len(all) != 60 {
		t.Fatalf("%d vectors for %d messages, want 60 for 30", len(all), len(vectorMessages))
	}
	for _, v := range all {
		want, ok := vectorMessages[v.name]
		if !ok {
			t.Errorf("%s: no message says what it holds", v.name)
			continue
		}
		got := decodeFrame(t, v.name, v.frame, isRequest(want))
		if !reflect.DeepEqual(dropEmpty(got), want) {
			t.Errorf("%s, version %d decodes to\n%+v, want\n%+v", v.name, v.version, got, want)
		}
		if encoded := encodeFrame(t, v.version, want); !bytes.Equal(encoded, v.frame) {
			t.Errorf("%s, version %d encodes to\n%x, want\n%x", v.name, v.version, encoded, v.frame)
		}
	}
}

// dropEmpty makes a required list that is empty nil, which DeepEqual tells
// from one that was never set.
func dropEmpty(m any) any {
	if w, ok := m.(*msg.WatchResponse); ok && len(w.Notifications) == 0 {
		w.Notifications = nil
	}
	return m
}

func isRequest(m any) bool {
	_, ok := m.(msg.Request)
	return ok
}

func decodeFrame(t testing.TB, name string, frame []byte, request bool) any {
	t.Helper()
	var m any
	var err error
	if request {
		m, err = readRequest(frame)
	} else {
		m, err = readResponse(frame)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

func readRequest(frame []byte) (msg.Request, error) {
	h, body, err := wire.ReadRequestFrame(bytes.NewReader(frame), 0, nil, nil)
	if err != nil {
		return nil, err
	}
	return wire.DecodeRequest(h.Version, msg.RequestType(h.Type), body)
}

func readResponse(frame []byte) (msg.Response, error) {
	h, body, err := wire.ReadResponseFrame(bytes.NewReader(frame), 0, nil, nil)
	if err != nil {
		return nil, err
	}
	return wire.DecodeResponse(h.Version, msg.ResponseType(h.Type), body)
}

func encodeFrame(t testing.TB, v wire.Version, m any) []byte {
	t.Helper()
	frame, err := appendMessage(nil, v, m)
	if err != nil {
		t.Fatalf("%T, version %d: %v", m, v, err)
	}
	return frame
}

func appendMessage(dst []byte, v wire.Version, m any) ([]byte, error) {
	if req, ok := m.(msg.Request); ok {
		return wire.AppendRequest(dst, v, req, nil, 0)
	}
	return wire.AppendResponse(dst, v, m.(msg.Response), nil, 0)
}
