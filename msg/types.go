package msg

import "fmt"

// RequestType is the header's message type of a request. Protocol section 4.1.
type RequestType uint32

// The request types. Requests and responses are numbered separately.
const (
	TypeDetailsRequest        RequestType = 1
	TypeReadRequest           RequestType = 2
	TypeWriteRequest          RequestType = 3
	TypeTrimStartRequest      RequestType = 4
	TypeDeleteRequest         RequestType = 5
	TypeWatchRequest          RequestType = 6
	TypeListOrgsRequest       RequestType = 7
	TypeListTypesRequest      RequestType = 8
	TypeListAggregatesRequest RequestType = 9
	TypeRegisterSchemaRequest RequestType = 10
	TypeIdentifyRequest       RequestType = 14
)

// ResponseType is the header's message type of a response. Protocol section 4.2.
type ResponseType uint32

// The response types.
const (
	TypeDetailsResponse        ResponseType = 1
	TypeReadResponse           ResponseType = 2
	TypeWriteResponse          ResponseType = 3
	TypeTrimStartResponse      ResponseType = 4
	TypeDeleteResponse         ResponseType = 5
	TypeProtocolErrorResponse  ResponseType = 6
	TypeErrorResponse          ResponseType = 7
	TypeWatchResponse          ResponseType = 8
	TypeListOrgsResponse       ResponseType = 9
	TypeListTypesResponse      ResponseType = 10
	TypeListAggregatesResponse ResponseType = 11
	TypeRegisterSchemaResponse ResponseType = 12
	TypeIdentifyResponse       ResponseType = 16
)

// String returns the request's name.
func (t RequestType) String() string {
	switch t {
	case TypeDetailsRequest:
		return "details"
	case TypeReadRequest:
		return "read"
	case TypeWriteRequest:
		return "write"
	case TypeTrimStartRequest:
		return "trim start"
	case TypeDeleteRequest:
		return "delete"
	case TypeWatchRequest:
		return "watch"
	case TypeListOrgsRequest:
		return "list organisations"
	case TypeListTypesRequest:
		return "list aggregate types"
	case TypeListAggregatesRequest:
		return "list aggregates"
	case TypeRegisterSchemaRequest:
		return "register schema"
	case TypeIdentifyRequest:
		return "identify"
	}
	return fmt.Sprintf("request type %d", uint32(t))
}

// Mutates reports whether the request changes data: write, trim start, delete
// and register schema. Only a leader accepts those.
func (t RequestType) Mutates() bool {
	switch t {
	case TypeWriteRequest, TypeTrimStartRequest, TypeDeleteRequest, TypeRegisterSchemaRequest:
		return true
	}
	return false
}

// String returns the response's name.
func (t ResponseType) String() string {
	switch t {
	case TypeDetailsResponse:
		return "details response"
	case TypeReadResponse:
		return "read response"
	case TypeWriteResponse:
		return "write response"
	case TypeTrimStartResponse:
		return "trim start response"
	case TypeDeleteResponse:
		return "delete response"
	case TypeProtocolErrorResponse:
		return "protocol error response"
	case TypeErrorResponse:
		return "error response"
	case TypeWatchResponse:
		return "watch response"
	case TypeListOrgsResponse:
		return "organisations response"
	case TypeListTypesResponse:
		return "aggregate types response"
	case TypeListAggregatesResponse:
		return "aggregates response"
	case TypeRegisterSchemaResponse:
		return "register schema response"
	case TypeIdentifyResponse:
		return "identify response"
	}
	return fmt.Sprintf("response type %d", uint32(t))
}

// SchemaType is the language of a registered schema. Protocol section 6.8.
type SchemaType uint8

// The schema languages a node knows; others are refused with CodeSchemaUnsupported.
const (
	SchemaJSON     SchemaType = 0
	SchemaAvro     SchemaType = 1
	SchemaProtobuf SchemaType = 2
)

// AccessLevel is what an API key allows. Its numbers are those of protocol
// version 3; version 2 sends the level minus one.
type AccessLevel uint8

// The access levels. ReadOnly refuses every request that mutates.
const (
	ReadWrite AccessLevel = 1
	ReadOnly  AccessLevel = 2
)

// String returns the level's name.
func (l AccessLevel) String() string {
	switch l {
	case ReadWrite:
		return "read-write"
	case ReadOnly:
		return "read-only"
	}
	return fmt.Sprintf("access level %d", uint8(l))
}
