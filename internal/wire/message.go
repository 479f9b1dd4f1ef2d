package wire

import (
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// DecodeRequest decodes the uncompressed body of a request. Byte slices of the
// request alias body; bytes behind the message are ignored. In version 2 the
// body of a fixed-class request is read as if zero bytes padded it to 1007, as
// the reference does. Errors are *DecodeError.
func DecodeRequest(v Version, t msg.RequestType, body []byte) (msg.Request, error) {
	if err := known(v, t.String()); err != nil {
		return nil, err
	}
	req := newRequest(t)
	if req == nil {
		return nil, &DecodeError{Message: t.String(), Version: v, Record: outside.name, Why: "the type is unknown"}
	}
	c := reader(v, body)
	c.request(req)
	if c.err == nil {
		return req, nil
	}
	if v == V2 && requestClass(uint32(t)) == fixed && len(body) < FixedBodyLimit {
		req = newRequest(t)
		padded := reader(v, append(make([]byte, 0, FixedBodyLimit), body...)[:FixedBodyLimit])
		if padded.request(req); padded.err == nil {
			return req, nil
		}
	}
	return nil, c.failure(v, t.String())
}

// DecodeResponse decodes the uncompressed body of a response. Byte slices of
// the response alias body; bytes behind the message are ignored. Errors are
// *DecodeError. DecodeRead is cheaper for many read responses in a row.
func DecodeResponse(v Version, t msg.ResponseType, body []byte) (msg.Response, error) {
	if err := known(v, t.String()); err != nil {
		return nil, err
	}
	resp := newResponse(t)
	if resp == nil {
		return nil, &DecodeError{Message: t.String(), Version: v, Record: outside.name, Why: "the type is unknown"}
	}
	c := reader(v, body)
	c.response(resp)
	if c.err != nil {
		return nil, c.failure(v, t.String())
	}
	return resp, nil
}

// known refuses versions there is no codec for.
func known(v Version, message string) error {
	if v == V2 || v == V3 {
		return nil
	}
	return &DecodeError{Message: message, Version: v, Record: outside.name, Why: "only versions 2 and 3 are understood"}
}

func (c *codec) failure(v Version, message string) error {
	c.err.Message, c.err.Version = message, v
	return c.err
}

func newRequest(t msg.RequestType) msg.Request {
	switch t {
	case msg.TypeDetailsRequest:
		return new(msg.DetailsRequest)
	case msg.TypeReadRequest:
		return new(msg.ReadRequest)
	case msg.TypeWriteRequest:
		return new(msg.WriteRequest)
	case msg.TypeTrimStartRequest:
		return new(msg.TrimStartRequest)
	case msg.TypeDeleteRequest:
		return new(msg.DeleteRequest)
	case msg.TypeWatchRequest:
		return new(msg.WatchRequest)
	case msg.TypeListOrgsRequest:
		return new(msg.ListOrgsRequest)
	case msg.TypeListTypesRequest:
		return new(msg.ListTypesRequest)
	case msg.TypeListAggregatesRequest:
		return new(msg.ListAggregatesRequest)
	case msg.TypeRegisterSchemaRequest:
		return new(msg.RegisterSchemaRequest)
	case msg.TypeIdentifyRequest:
		return new(msg.IdentifyRequest)
	}
	return nil
}

func newResponse(t msg.ResponseType) msg.Response {
	switch t {
	case msg.TypeDetailsResponse:
		return new(msg.DetailsResponse)
	case msg.TypeReadResponse:
		return new(msg.ReadResponse)
	case msg.TypeWriteResponse:
		return new(msg.WriteResponse)
	case msg.TypeTrimStartResponse:
		return new(msg.TrimStartResponse)
	case msg.TypeDeleteResponse:
		return new(msg.DeleteResponse)
	case msg.TypeProtocolErrorResponse:
		return new(msg.ProtocolErrorResponse)
	case msg.TypeErrorResponse:
		return new(msg.ErrorResponse)
	case msg.TypeWatchResponse:
		return new(msg.WatchResponse)
	case msg.TypeListOrgsResponse:
		return new(msg.ListOrgsResponse)
	case msg.TypeListTypesResponse:
		return new(msg.ListTypesResponse)
	case msg.TypeListAggregatesResponse:
		return new(msg.ListAggregatesResponse)
	case msg.TypeRegisterSchemaResponse:
		return new(msg.RegisterSchemaResponse)
	case msg.TypeIdentifyResponse:
		return new(msg.IdentifyResponse)
	}
	return nil
}

func (c *codec) request(req msg.Request) {
	switch m := req.(type) {
	case *msg.DetailsRequest:
		c.detailsRequest(m)
	case *msg.ReadRequest:
		c.readRequest(m)
	case *msg.WriteRequest:
		c.writeRequest(m)
	case *msg.TrimStartRequest:
		c.trimStartRequest(m)
	case *msg.DeleteRequest:
		c.deleteRequest(m)
	case *msg.WatchRequest:
		c.watchRequest(m)
	case *msg.ListOrgsRequest:
		c.listOrgsRequest(m)
	case *msg.ListTypesRequest:
		c.listTypesRequest(m)
	case *msg.ListAggregatesRequest:
		c.listAggregatesRequest(m)
	case *msg.RegisterSchemaRequest:
		c.registerSchemaRequest(m)
	case *msg.IdentifyRequest:
		c.identifyRequest(m)
	default:
		c.refuse(fmt.Sprintf("%T is no request", req))
	}
}

func (c *codec) response(resp msg.Response) {
	switch m := resp.(type) {
	case *msg.DetailsResponse:
		c.detailsResponse(m)
	case *msg.ReadResponse:
		c.readResponse(m)
	case *msg.WriteResponse:
		c.writeResponse(m)
	case *msg.TrimStartResponse:
		c.acknowledgement(&trimStartResponseRecord, &m.Correlated)
	case *msg.DeleteResponse:
		c.acknowledgement(&deleteResponseRecord, &m.Correlated)
	case *msg.ProtocolErrorResponse:
		c.protocolErrorResponse()
	case *msg.ErrorResponse:
		c.errorResponse(m)
	case *msg.WatchResponse:
		c.watchResponse(m)
	case *msg.ListOrgsResponse:
		c.listOrgsResponse(m)
	case *msg.ListTypesResponse:
		c.listTypesResponse(m)
	case *msg.ListAggregatesResponse:
		c.listAggregatesResponse(m)
	case *msg.RegisterSchemaResponse:
		c.acknowledgement(&registerSchemaResponseRecord, &m.Correlated)
	case *msg.IdentifyResponse:
		c.identifyResponse(m)
	default:
		c.refuse(fmt.Sprintf("%T is no response", resp))
	}
}
