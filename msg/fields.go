package msg

import "encoding/json"

// ErrorFields are the details a node sends with an error, as far as the code
// has any. Fields the node did not send are absent; text that is not JSON
// (identity errors, a few internal failures) leaves all of them absent.
// Protocol section 14.3 lists which code carries which.
type ErrorFields struct {
	Requested          Opt[uint64]
	MinimumAvailable   Opt[uint64]
	MaxVersion         Opt[uint64]
	ExpectedVersion    Opt[uint64]
	CurrentVersion     Opt[uint64]
	ClientSeq          Opt[uint64]
	LastClientSeq      Opt[uint64]
	AttemptedClientSeq Opt[uint64]
	EventTypeMajor     Opt[uint64]
	EventTypeMinor     Opt[uint64]
	SchemaType         Opt[uint64]
	FailedShards       Opt[uint64]
	TotalShards        Opt[uint64]
	RequestedMS        Opt[uint64]
	MaxMS              Opt[uint64]
	ActiveSubscribers  Opt[uint64]
	MaxSubscribers     Opt[uint64]
	NumShards          Opt[uint64]
	PreallocateBytes   Opt[uint64]
	DivergentWALSeq    Opt[uint64]
	Barrier            Opt[uint64]
	LogID              Opt[uint64]
	WALSeq             Opt[uint64]
	Inline             Opt[bool]
	// LeaderAddress is the "host:port" of the leader as the node knows it; it
	// may be stale, unreachable or unspecified.
	LeaderAddress Opt[string]
	// Detail is the prose of "detail", "parse_error", "validation_error" or
	// "compilation_error", whichever is present. The text is not for parsing.
	Detail Opt[string]
}

// ParseErrorFields reads the fields out of an error message and never fails:
// what cannot be read is absent.
func ParseErrorFields(message string) ErrorFields {
	var raw map[string]json.RawMessage
	var f ErrorFields
	if json.Unmarshal([]byte(message), &raw) != nil {
		return f
	}
	numbers := []struct {
		name string
		to   *Opt[uint64]
	}{
		{"requested", &f.Requested},
		{"minimum_available", &f.MinimumAvailable},
		{"max_aggregate_version", &f.MaxVersion},
		{"expected_version", &f.ExpectedVersion},
		{"current_aggregate_version", &f.CurrentVersion},
		{"client_seq", &f.ClientSeq},
		{"last_client_seq", &f.LastClientSeq},
		{"attempted_client_seq", &f.AttemptedClientSeq},
		{"event_type_major", &f.EventTypeMajor},
		{"event_type_minor", &f.EventTypeMinor},
		{"schema_type", &f.SchemaType},
		{"failed_shard_count", &f.FailedShards},
		{"total_shards", &f.TotalShards},
		{"requested_ms", &f.RequestedMS},
		{"max_ms", &f.MaxMS},
		{"active_subscribers", &f.ActiveSubscribers},
		{"max_subscribers", &f.MaxSubscribers},
		{"num_shards", &f.NumShards},
		{"preallocate_bytes", &f.PreallocateBytes},
		{"divergent_wal_seq", &f.DivergentWALSeq},
		{"barrier", &f.Barrier},
		{"log_id", &f.LogID},
		{"wal_seq", &f.WALSeq},
	}
	for _, n := range numbers {
		setField(raw, n.name, n.to)
	}
	setField(raw, "is_inline", &f.Inline)
	setField(raw, "leader_address", &f.LeaderAddress)
	for _, name := range []string{"detail", "parse_error", "validation_error", "compilation_error"} {
		setField(raw, name, &f.Detail)
	}
	return f
}

func setField[T any](raw map[string]json.RawMessage, name string, to *Opt[T]) {
	text, ok := raw[name]
	if !ok {
		return
	}
	var v T
	if json.Unmarshal(text, &v) == nil {
		*to = Some(v)
	}
}
