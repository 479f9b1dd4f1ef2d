package msg

// Request is any message a client sends. Its implementations are the pointer
// types of this file; nothing else can implement it.
type Request interface {
	RequestType() RequestType
	// Correlation returns the id the node echoes in the answer.
	Correlation() Opt[ID]
	// SetCorrelation sets it.
	SetCorrelation(Opt[ID])
	isRequest()
}

// Correlated carries the correlation id of requests and responses: field 0 of
// each of them. The node copies it into the answer and does nothing else with it.
type Correlated struct {
	CorrelationID Opt[ID]
}

// Correlation returns the correlation id.
func (c *Correlated) Correlation() Opt[ID] { return c.CorrelationID }

// SetCorrelation sets the correlation id.
func (c *Correlated) SetCorrelation(id Opt[ID]) { c.CorrelationID = id }

// DetailsRequest asks for the state of one aggregate. Protocol section 7.1.
type DetailsRequest struct {
	Correlated
	Key Key
}

// ReadRequest asks for one page of an aggregate's batches. Protocol section 7.2.
type ReadRequest struct {
	Correlated
	Key     Key
	Filters ReadFilters
}

// WriteRequest appends one batch to each of its aggregates, all or none. All
// keys must belong to one shard. Protocol section 7.3.
type WriteRequest struct {
	Correlated
	ClientID ID
	UserID   Opt[ID]
	// Writes is a map on the wire: a later entry of the same key replaces an
	// earlier one.
	Writes []AggregateWrite
}

// AggregateWrite is the part of a WriteRequest that concerns one aggregate.
type AggregateWrite struct {
	Key    Key
	Events []Event
	// DenyCreate refuses an aggregate that was never seen, with CodeWriteNotFound.
	DenyCreate bool
	// ExpectedVersion, when set, must equal the current version; 0 means never
	// seen. A deleted aggregate keeps the version it had.
	ExpectedVersion Opt[uint64]
	// EnforceIdempotency demands that every client sequence exceeds the highest
	// one stored for (aggregate, client). Sequences must then be above 0, see
	// [WriteRequest.Validate].
	EnforceIdempotency bool
}

// TrimStartRequest raises the lowest readable version. Protocol section 7.4.
type TrimStartRequest struct {
	Correlated
	Key Key
	// KeepFrom is the lowest version to keep; at or below the present floor
	// nothing happens, above the newest is refused.
	KeepFrom uint64
	ClientID ID
	UserID   Opt[ID]
}

// DeleteRequest deletes its aggregates, all or none. Protocol section 7.5.
type DeleteRequest struct {
	Correlated
	ClientID ID
	UserID   Opt[ID]
	// Deletes is a map on the wire, see WriteRequest.Writes.
	Deletes []AggregateDelete
}

// AggregateDelete is the part of a DeleteRequest that concerns one aggregate.
type AggregateDelete struct {
	Key Key
	// AllowRecreate lets a later write bring the aggregate back.
	AllowRecreate bool
	// AllowSequenceContinuation makes a recreated aggregate go on counting
	// instead of starting at 1.
	AllowSequenceContinuation bool
	// ExpectedVersion, when set, must equal the current version.
	ExpectedVersion Opt[uint64]
}

// WatchRequest turns the connection into a stream of notifications.
// A nil slice means no restriction; an empty, non-nil one matches nothing.
// Protocol section 7.6.
type WatchRequest struct {
	Correlated
	// LatencyMS is the coalescing window in milliseconds; absent pushes each
	// change at once.
	LatencyMS Opt[uint64]
	// Shard, when set, watches that shard whatever the filters are.
	Shard      Opt[uint64]
	Orgs       []ID
	Types      []ID
	Aggregates []ID
	Operations []Operation
}

// ListOrgsRequest asks one shard for a page of organisations. Protocol section 7.7.
type ListOrgsRequest struct {
	Correlated
	Shard  uint64
	Cursor Opt[uint64]
}

// ListTypesRequest asks one shard for a page of aggregate types. Protocol section 7.8.
type ListTypesRequest struct {
	Correlated
	Shard  uint64
	Org    Opt[ID]
	Cursor Opt[uint64]
}

// ListAggregatesRequest asks one shard for a page of aggregates. Protocol section 7.9.
type ListAggregatesRequest struct {
	Correlated
	Shard  uint64
	Org    Opt[ID]
	Type   Opt[ID]
	Cursor Opt[uint64]
}

// RegisterSchemaRequest registers the schema of one event type, once and for
// all. Protocol section 7.10.
type RegisterSchemaRequest struct {
	Correlated
	ClientID   ID
	UserID     Opt[ID]
	Key        SchemaKey
	SchemaType SchemaType
	Schema     string
}

// IdentifyRequest opens a connection with credentials, or with none to learn
// the compression dictionary. Protocol sections 7.11 and 8.
type IdentifyRequest struct {
	Correlated
	// PublicKey, Nonce and Signature prove an RSA identity; all three or none.
	PublicKey Opt[string]
	Nonce     Opt[string]
	Signature Opt[string]
	// APIKey is the standard base64 of 32 bytes.
	APIKey Opt[string]
	// KnownDictSHA256 is the lower-case hexadecimal hash of a dictionary the
	// client holds.
	KnownDictSHA256 Opt[string]
}

func (*DetailsRequest) RequestType() RequestType        { return TypeDetailsRequest }
func (*ReadRequest) RequestType() RequestType           { return TypeReadRequest }
func (*WriteRequest) RequestType() RequestType          { return TypeWriteRequest }
func (*TrimStartRequest) RequestType() RequestType      { return TypeTrimStartRequest }
func (*DeleteRequest) RequestType() RequestType         { return TypeDeleteRequest }
func (*WatchRequest) RequestType() RequestType          { return TypeWatchRequest }
func (*ListOrgsRequest) RequestType() RequestType       { return TypeListOrgsRequest }
func (*ListTypesRequest) RequestType() RequestType      { return TypeListTypesRequest }
func (*ListAggregatesRequest) RequestType() RequestType { return TypeListAggregatesRequest }
func (*RegisterSchemaRequest) RequestType() RequestType { return TypeRegisterSchemaRequest }
func (*IdentifyRequest) RequestType() RequestType       { return TypeIdentifyRequest }

func (*Correlated) isRequest() {}
