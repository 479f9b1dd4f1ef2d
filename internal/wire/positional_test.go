package wire_test

import (
	"bytes"
	"slices"

	"github.com/celeriant/celeriant-go/internal/traces"
	"github.com/celeriant/celeriant-go/msg"
)

// positional turns a message into the arrays recordings hold: fields in the
// order of the protocol's tables, nil for what is absent.
func positional(m any) []any {
	switch m := m.(type) {
	case *msg.DetailsRequest:
		return []any{corrOf(m), keyArray(m.Key)}
	case *msg.ReadRequest:
		return []any{corrOf(m), keyArray(m.Key), filtersArray(m.Filters)}
	case *msg.WriteRequest:
		writes := make(traces.Map, 0, len(m.Writes))
		for _, w := range m.Writes {
			writes = append(writes, traces.Entry{Key: keyArray(w.Key), Value: []any{
				each(w.Events, eventArray), !w.DenyCreate, number(w.ExpectedVersion), w.EnforceIdempotency}})
		}
		return []any{corrOf(m), bin(m.ClientID), optBin(m.UserID), sortedMap(writes)}
	case *msg.TrimStartRequest:
		return []any{corrOf(m), keyArray(m.Key), m.KeepFrom, bin(m.ClientID), optBin(m.UserID)}
	case *msg.DeleteRequest:
		deletes := make(traces.Map, 0, len(m.Deletes))
		for _, d := range m.Deletes {
			deletes = append(deletes, traces.Entry{Key: keyArray(d.Key), Value: []any{
				d.AllowRecreate, d.AllowSequenceContinuation, number(d.ExpectedVersion)}})
		}
		return []any{corrOf(m), bin(m.ClientID), optBin(m.UserID), sortedMap(deletes)}
	case *msg.WatchRequest:
		return []any{corrOf(m), number(m.LatencyMS), number(m.Shard),
			optEach(m.Orgs, bin), optEach(m.Types, bin), optEach(m.Aggregates, bin),
			optEach(m.Operations, func(o msg.Operation) any { return uint64(o) })}
	case *msg.ListOrgsRequest:
		return []any{corrOf(m), m.Shard, number(m.Cursor)}
	case *msg.ListTypesRequest:
		return []any{corrOf(m), m.Shard, optBin(m.Org), number(m.Cursor)}
	case *msg.ListAggregatesRequest:
		return []any{corrOf(m), m.Shard, optBin(m.Org), optBin(m.Type), number(m.Cursor)}
	case *msg.RegisterSchemaRequest:
		return []any{corrOf(m), bin(m.ClientID), optBin(m.UserID),
			[]any{bin(m.Key.Org), bin(m.Key.Type), m.Key.Major, m.Key.Minor}, uint64(m.SchemaType), m.Schema}
	case *msg.IdentifyRequest:
		return []any{corrOf(m), text(m.PublicKey), text(m.Nonce), text(m.Signature), text(m.APIKey), text(m.KnownDictSHA256)}
	}
	return positionalResponse(m)
}

func positionalResponse(m any) []any {
	switch m := m.(type) {
	case *msg.DetailsResponse:
		return []any{corrOf(m), m.MinVersion, m.MaxVersion, m.MaxEventSeq, m.Deleted, m.AllowRecreate,
			m.AllowSequenceContinuation, m.LastServerTimestamp, bin(m.LastClientID), optBin(m.LastUserID)}
	case *msg.ReadResponse:
		return []any{corrOf(m), each(m.Batches, func(b msg.Batch) any {
			return []any{b.Version, bin(b.ClientID), optBin(b.UserID), b.ServerTimestamp, each(b.Events, eventArray)}
		}), number(m.NextVersion)}
	case *msg.WriteResponse:
		return []any{corrOf(m), number(m.MaxVersion)}
	case *msg.TrimStartResponse, *msg.DeleteResponse, *msg.RegisterSchemaResponse:
		return []any{corrOf(m.(msg.Response))}
	case *msg.ErrorResponse:
		return []any{corrOf(m), uint64(m.Code), m.Message}
	case *msg.WatchResponse:
		return []any{each(m.Notifications, func(n msg.Notification) any {
			return []any{bin(n.Key.Org), bin(n.Key.Type), bin(n.Key.Aggregate), uint64(n.Operation),
				number(n.From), number(n.To), number(n.KeepFrom)}
		})}
	case *msg.ListOrgsResponse:
		return []any{corrOf(m), each(m.Orgs, func(id msg.ID) any { return []any{bin(id)} }), number(m.NextCursor)}
	case *msg.ListTypesResponse:
		return []any{corrOf(m), each(m.Types, func(i msg.TypeItem) any { return []any{bin(i.Org), bin(i.Type)} }), number(m.NextCursor)}
	case *msg.ListAggregatesResponse:
		return []any{corrOf(m), each(m.Aggregates, func(a msg.AggregateItem) any {
			return []any{a.Deleted, bin(a.Key.Org), bin(a.Key.Type), bin(a.Key.Aggregate), a.BatchCount,
				a.MinEventTimestamp, a.MaxEventTimestamp, a.MinVersion, a.MaxVersion, a.MinEventSeq, a.MaxEventSeq,
				a.MinServerTimestamp, a.MaxServerTimestamp, a.CompressedSize, a.UncompressedSize}
		}), number(m.NextCursor)}
	case *msg.IdentifyResponse:
		access := any(nil)
		if level, ok := m.Access.Get(); ok {
			access = uint64(level)
		}
		dict := any(nil)
		if m.DictBytes != nil {
			dict = m.DictBytes
		}
		return []any{corrOf(m), optBin(m.ClientID), access, text(m.DictSHA256), dict}
	case *msg.ProtocolErrorResponse:
		return []any{}
	}
	panic("a message without an array form")
}

func corrOf(m interface{ Correlation() msg.Opt[msg.ID] }) any { return optBin(m.Correlation()) }

func bin(id msg.ID) any { return id[:] }

func optBin(o msg.Opt[msg.ID]) any {
	if !o.Set {
		return nil
	}
	return bin(o.Value)
}

func number(o msg.Opt[uint64]) any {
	if !o.Set {
		return nil
	}
	return o.Value
}

func text(o msg.Opt[string]) any {
	if !o.Set {
		return nil
	}
	return o.Value
}

func each[T any](list []T, array func(T) any) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = array(v)
	}
	return out
}

func optEach[T any](list []T, array func(T) any) any {
	if list == nil {
		return nil
	}
	return each(list, array)
}

func keyArray(k msg.Key) any { return []any{bin(k.Org), bin(k.Type), bin(k.Aggregate)} }

func eventArray(e msg.Event) any {
	iv := any(nil)
	if e.IV.Set {
		iv = e.IV.Value[:]
	}
	return []any{e.ClientSeq, e.EventSeq, optBin(e.EventID), e.Timestamp, e.Major, e.Minor, e.Value, iv}
}

func filtersArray(f msg.ReadFilters) any {
	return []any{f.From, number(f.To), optEach(f.EventTypes, func(n uint64) any { return n }),
		optBin(f.ExcludeClientID), optBin(f.IncludeClientID), optBin(f.ExcludeUserID), optBin(f.IncludeUserID),
		number(f.MinServerTimestamp), number(f.MaxServerTimestamp), number(f.MinClientSeq), number(f.MaxClientSeq),
		number(f.MinEventTimestamp), number(f.MaxEventTimestamp), number(f.MinEventSeq), number(f.MaxEventSeq)}
}

// sortedMap sorts entries by their keys, which are arrays of ids.
func sortedMap(m traces.Map) traces.Map {
	slices.SortFunc(m, func(a, b traces.Entry) int {
		for i, part := range a.Key.([]any) {
			if order := bytes.Compare(part.([]byte), b.Key.([]any)[i].([]byte)); order != 0 {
				return order
			}
		}
		return 0
	})
	return m
}
