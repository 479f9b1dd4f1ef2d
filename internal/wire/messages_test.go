package wire_test

import (
	"bytes"

	"github.com/celeriant/celeriant-go/msg"
)

// everyMessage holds the vectors' messages and, for each type, one with every
// field set to a value of its own.
func everyMessage() map[string]any {
	all := map[string]any{}
	for name, m := range vectorMessages {
		all[name] = m
	}
	for name, m := range fullMessages() {
		all["full "+name] = m
	}
	return all
}

func nth(n uint64) msg.ID { return msg.IDFromUint64s(n<<8, n) }

func fullEvents(seq uint64) []msg.Event {
	return []msg.Event{
		{ClientSeq: seq, EventSeq: seq + 1000, EventID: msg.Some(nth(seq)), Timestamp: seq + 70000, Major: 1, Minor: seq << 40,
			Value: bytes.Repeat([]byte{byte(seq)}, int(seq%300)), IV: msg.Some(msg.IV{byte(seq), 2, 11: 0xff})},
		{ClientSeq: seq + 1, EventID: msg.Some(msg.ID{}), Major: 1<<64 - 1, Value: []byte{}},
	}
}

func fullMessages() map[string]any {
	c := msg.Correlated{CorrelationID: msg.Some(nth(99))}
	keys := []msg.Key{{Org: nth(1), Type: nth(2), Aggregate: nth(3)}, {Org: nth(4), Type: nth(5), Aggregate: nth(6)}}
	some := msg.Some[uint64]
	user := msg.Some(nth(8))
	return map[string]any{
		"details request": &msg.DetailsRequest{Correlated: c, Key: keys[0]},
		"read request": &msg.ReadRequest{Correlated: c, Key: keys[1], Filters: msg.ReadFilters{
			From: 1, To: some(2), EventTypes: []uint64{3, 1 << 40}, ExcludeClientID: msg.Some(nth(4)), IncludeClientID: msg.Some(nth(5)),
			ExcludeUserID: msg.Some(nth(6)), IncludeUserID: msg.Some(nth(7)), MinServerTimestamp: some(8), MaxServerTimestamp: some(9),
			MinClientSeq: some(10), MaxClientSeq: some(11), MinEventTimestamp: some(12), MaxEventTimestamp: some(13),
			MinEventSeq: some(14), MaxEventSeq: some(15)}},
		"write request": &msg.WriteRequest{Correlated: c, ClientID: nth(7), UserID: user, Writes: []msg.AggregateWrite{
			{Key: keys[0], Events: fullEvents(5), ExpectedVersion: some(1 << 33)},
			{Key: keys[1], Events: fullEvents(290), EnforceIdempotency: true, DenyCreate: true}}},
		"trim start request": &msg.TrimStartRequest{Correlated: c, Key: keys[0], KeepFrom: 1 << 20, ClientID: nth(7), UserID: user},
		"delete request": &msg.DeleteRequest{Correlated: c, ClientID: nth(7), UserID: user, Deletes: []msg.AggregateDelete{
			{Key: keys[0], AllowRecreate: true, ExpectedVersion: some(3)}, {Key: keys[1], AllowSequenceContinuation: true}}},
		"watch request": &msg.WatchRequest{Correlated: c, LatencyMS: some(50), Shard: some(3), Orgs: []msg.ID{nth(1)},
			Types: []msg.ID{nth(2), nth(3)}, Aggregates: []msg.ID{nth(4)}, Operations: []msg.Operation{msg.OpCreate, msg.OpDelete}},
		"list orgs request":       &msg.ListOrgsRequest{Correlated: c, Shard: 300, Cursor: some(1 << 50)},
		"list types request":      &msg.ListTypesRequest{Correlated: c, Shard: 3, Org: msg.Some(nth(1)), Cursor: some(7)},
		"list aggregates request": &msg.ListAggregatesRequest{Correlated: c, Shard: 3, Org: msg.Some(nth(1)), Type: msg.Some(nth(2)), Cursor: some(7)},
		"register schema request": &msg.RegisterSchemaRequest{Correlated: c, ClientID: nth(7), UserID: user,
			Key: msg.SchemaKey{Org: nth(1), Type: nth(2), Major: 3, Minor: 4}, SchemaType: msg.SchemaProtobuf, Schema: "schéma"},
		"identify request": &msg.IdentifyRequest{Correlated: c, PublicKey: msg.Some("key"), Nonce: msg.Some("1700000000000"),
			Signature: msg.Some("sig"), APIKey: msg.Some(""), KnownDictSHA256: msg.Some(dictSHA)},

		"details response": &msg.DetailsResponse{Correlated: c, MinVersion: 1, MaxVersion: 2, MaxEventSeq: 3, Deleted: true,
			AllowSequenceContinuation: true, LastServerTimestamp: 4, LastClientID: nth(5), LastUserID: user},
		"read response": &msg.ReadResponse{Correlated: c, NextVersion: some(9), Batches: []msg.Batch{
			{Version: 1, ClientID: nth(7), UserID: user, ServerTimestamp: 5, Events: fullEvents(1)},
			{Version: 2, ClientID: nth(8), ServerTimestamp: 6, Events: fullEvents(3)}}},
		"write response":      &msg.WriteResponse{Correlated: c, MaxVersion: some(1<<64 - 1)},
		"trim start response": &msg.TrimStartResponse{Correlated: c},
		"delete response":     &msg.DeleteResponse{Correlated: c},
		"error response":      &msg.ErrorResponse{Correlated: c, Code: 1<<32 - 1, Message: "{\"detail\":\"é\"}"},
		"watch response": &msg.WatchResponse{Notifications: []msg.Notification{
			{Key: keys[0], Operation: msg.OpTrimStart, KeepFrom: some(5)},
			{Key: keys[1], Operation: msg.OpWrite, From: some(1), To: some(2)}, {Key: keys[1], Operation: msg.OpCreate}}},
		"list orgs response":       &msg.ListOrgsResponse{Correlated: c, Orgs: []msg.ID{nth(1), nth(2)}, NextCursor: some(1)},
		"list types response":      &msg.ListTypesResponse{Correlated: c, Types: []msg.TypeItem{{Org: nth(1), Type: nth(2)}}, NextCursor: some(1)},
		"register schema response": &msg.RegisterSchemaResponse{Correlated: c},
		"list aggregates response": &msg.ListAggregatesResponse{Correlated: c, NextCursor: some(1), Aggregates: []msg.AggregateItem{
			{Key: keys[0], Deleted: true}, {Key: keys[1], BatchCount: 1, MinEventTimestamp: 2, MaxEventTimestamp: 3, MinVersion: 4,
				MaxVersion: 5, MinEventSeq: 6, MaxEventSeq: 7, MinServerTimestamp: 8, MaxServerTimestamp: 9, CompressedSize: 10,
				UncompressedSize: 1 << 40}}},
		"identify response": &msg.IdentifyResponse{Correlated: c, ClientID: msg.Some(nth(7)), Access: msg.Some(msg.ReadOnly),
			DictSHA256: msg.Some(dictSHA), DictBytes: []byte{0, 127, 128, 255}},
	}
}
