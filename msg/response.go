package msg

// Response is any message a node sends.
type Response interface {
	ResponseType() ResponseType
	// Correlation returns the id of the request that is answered; always
	// absent for WatchResponse and ProtocolErrorResponse.
	Correlation() Opt[ID]
}

// DetailsResponse is the state of one aggregate. Protocol section 7.1.
type DetailsResponse struct {
	Correlated
	// MinVersion is the lowest readable version: 1, raised by trims, 0 while deleted.
	MinVersion uint64
	// MaxVersion and MaxEventSeq are the highest ever; after a fresh recreation
	// they may exceed the newest batch's.
	MaxVersion  uint64
	MaxEventSeq uint64
	Deleted     bool
	// AllowRecreate and AllowSequenceContinuation are those of the last delete.
	AllowRecreate             bool
	AllowSequenceContinuation bool
	// LastServerTimestamp, LastClientID and LastUserID describe the newest
	// batch or delete.
	LastServerTimestamp uint64
	LastClientID        ID
	LastUserID          Opt[ID]
}

// ReadResponse is one page of batches. Protocol section 7.2.
type ReadResponse struct {
	Correlated
	// Batches ascend by version; may be empty even when NextVersion is set.
	Batches []Batch
	// NextVersion is where the next page begins; absent when the range was
	// covered.
	NextVersion Opt[uint64]
}

// WriteResponse acknowledges a durable write. Protocol section 7.3.
type WriteResponse struct {
	Correlated
	// MaxVersion is the version just committed, set only when exactly one
	// aggregate was written.
	MaxVersion Opt[uint64]
}

// TrimStartResponse acknowledges a trim.
type TrimStartResponse struct{ Correlated }

// DeleteResponse acknowledges a delete.
type DeleteResponse struct{ Correlated }

// ProtocolErrorResponse is understood but never sent by the reference server.
type ProtocolErrorResponse struct{}

// ErrorResponse is the node's refusal of a request; [NewServerError] makes an
// error of it. Protocol section 7.12.
type ErrorResponse struct {
	Correlated
	Code    Code
	Message string
}

// WatchResponse is one frame of a watch: empty as acknowledgement and
// heartbeat. Protocol section 12.2.
type WatchResponse struct {
	Notifications []Notification
}

// ListOrgsResponse is one page of organisations.
type ListOrgsResponse struct {
	Correlated
	Orgs       []ID
	NextCursor Opt[uint64]
}

// ListTypesResponse is one page of aggregate types.
type ListTypesResponse struct {
	Correlated
	Types      []TypeItem
	NextCursor Opt[uint64]
}

// ListAggregatesResponse is one page of aggregates.
type ListAggregatesResponse struct {
	Correlated
	Aggregates []AggregateItem
	NextCursor Opt[uint64]
}

// RegisterSchemaResponse acknowledges a registered schema.
type RegisterSchemaResponse struct{ Correlated }

// IdentifyResponse answers an Identify. Protocol section 7.11.
type IdentifyResponse struct {
	Correlated
	// ClientID is set only after a proven RSA identity.
	ClientID Opt[ID]
	// Access is set only when the node has API keys.
	Access Opt[AccessLevel]
	// DictSHA256 is the lower-case hexadecimal hash of the cluster's dictionary.
	DictSHA256 Opt[string]
	// DictBytes is the dictionary, nil (absent) when the client knew it.
	DictBytes []byte
}

func (*DetailsResponse) ResponseType() ResponseType        { return TypeDetailsResponse }
func (*ReadResponse) ResponseType() ResponseType           { return TypeReadResponse }
func (*WriteResponse) ResponseType() ResponseType          { return TypeWriteResponse }
func (*TrimStartResponse) ResponseType() ResponseType      { return TypeTrimStartResponse }
func (*DeleteResponse) ResponseType() ResponseType         { return TypeDeleteResponse }
func (*ProtocolErrorResponse) ResponseType() ResponseType  { return TypeProtocolErrorResponse }
func (*ErrorResponse) ResponseType() ResponseType          { return TypeErrorResponse }
func (*WatchResponse) ResponseType() ResponseType          { return TypeWatchResponse }
func (*ListOrgsResponse) ResponseType() ResponseType       { return TypeListOrgsResponse }
func (*ListTypesResponse) ResponseType() ResponseType      { return TypeListTypesResponse }
func (*ListAggregatesResponse) ResponseType() ResponseType { return TypeListAggregatesResponse }
func (*RegisterSchemaResponse) ResponseType() ResponseType { return TypeRegisterSchemaResponse }
func (*IdentifyResponse) ResponseType() ResponseType       { return TypeIdentifyResponse }

// Correlation returns absent: the message carries no correlation id.
func (*ProtocolErrorResponse) Correlation() Opt[ID] { return Opt[ID]{} }

// Correlation returns absent: watch frames carry no correlation id.
func (*WatchResponse) Correlation() Opt[ID] { return Opt[ID]{} }
