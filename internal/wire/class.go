package wire

import "github.com/celeriant/celeriant-go/msg"

// FixedBodyLimit is the most bytes the body of a fixed-class message may have:
// 1024 minus the header. Protocol section 3.1.
const FixedBodyLimit = 1007

// class says what a frame of a type may be. Protocol section 3.1.
type class uint8

const (
	unassigned class = iota
	fixed            // at most FixedBodyLimit bytes, never compressed
	variable         // up to the receiver's limit, may be compressed
	plain            // up to the receiver's limit, never compressed
)

func requestClass(t uint32) class {
	switch msg.RequestType(t) {
	case msg.TypeWriteRequest, msg.TypeRegisterSchemaRequest:
		return variable
	case msg.TypeDetailsRequest, msg.TypeReadRequest, msg.TypeTrimStartRequest, msg.TypeDeleteRequest,
		msg.TypeWatchRequest, msg.TypeListOrgsRequest, msg.TypeListTypesRequest,
		msg.TypeListAggregatesRequest, msg.TypeIdentifyRequest:
		return fixed
	}
	return unassigned
}

func responseClass(t uint32) class {
	switch msg.ResponseType(t) {
	case msg.TypeReadResponse, msg.TypeWatchResponse, msg.TypeListOrgsResponse,
		msg.TypeListTypesResponse, msg.TypeListAggregatesResponse:
		return variable
	case msg.TypeDetailsResponse, msg.TypeWriteResponse, msg.TypeTrimStartResponse, msg.TypeDeleteResponse,
		msg.TypeProtocolErrorResponse, msg.TypeErrorResponse, msg.TypeRegisterSchemaResponse:
		return fixed
	case msg.TypeIdentifyResponse:
		return plain
	}
	return unassigned
}
