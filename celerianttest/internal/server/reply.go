package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// send writes one response. A response that cannot be sent for its size is,
// with Quirks, not sent at all, and otherwise replaced by one that fits.
func (c *conn) send(v wire.Version, resp msg.Response) error {
	frame, err := c.encode(c.out[:0], v, resp)
	if errors.Is(err, errUnsendable) {
		return nil
	}
	if err != nil {
		return err
	}
	if cap(frame) <= maxKeptBuffer {
		c.out = frame
	}
	c.framesO++
	if c.server.Interceptor.Load() == nil {
		return c.write(frame, 1)
	}
	return c.sendIntercepted(v, resp, frame)
}

// sendIntercepted applies the interceptor's verdict on a response.
func (c *conn) sendIntercepted(v wire.Version, resp msg.Response, sent []byte) error {
	verdict := c.server.judge(&Frame{
		Conn: c.number, ToClient: true, Number: c.framesO, Version: int(v), Size: len(sent), Response: resp,
	})
	switch verdict.Action {
	case Delay:
		if !replica.Pause(c.ctx, verdict.Delay) {
			return errEnded
		}
	case Drop:
		return nil
	case Cut:
		err := c.write(sent[:min(verdict.N, len(sent))], 0)
		return errors.Join(err, c.cut())
	case Corrupt:
		sent[verdict.N%len(sent)] ^= 0xff
	case Answer:
		other, err := wire.AppendResponse(nil, v, correlated(verdict.Answer, resp.Correlation()), c.responseCoder(), 0)
		if err != nil {
			return err
		}
		sent = other
	case Raw:
		sent = verdict.Raw
	case Stall:
		c.mute = true
	}
	return c.write(sent, 1)
}

// write hands bytes that make up so many frames to the socket. A client that
// does not take them in time is given up.
func (c *conn) write(b []byte, frames int) error {
	if c.mute || len(b) == 0 {
		return nil
	}
	if c.run.ctx.Err() != nil || c.ctx.Err() != nil { // a run's end reaches its connections one by one
		return errEnded // a node that was killed says nothing more
	}
	if !c.server.Paused.pass(c.ctx) {
		return errEnded
	}
	if err := c.socket.SetWriteDeadline(time.Now().Add(c.server.Limits.IdleTimeout)); err != nil {
		return err
	}
	n, err := c.socket.Write(b)
	if err == nil {
		c.server.Counters.written(frames, n)
	}
	return err
}

// responseCoder returns the coder for what this client is sent: none before it
// has identified.
func (c *conn) responseCoder() *wire.Coder {
	if !c.compress {
		return nil
	}
	return c.server.Coder
}

// errUnsendable: the response is too large and Quirks keep the node silent.
var errUnsendable = errors.New("the response exceeds its frame")

// encode makes the frame of a response within the limits.
func (c *conn) encode(dst []byte, v wire.Version, resp msg.Response) ([]byte, error) {
	if c.server.Limits.Quirks {
		return c.encodeAsRecorded(dst, v, resp)
	}
	limit := c.server.Limits.MaxResponseSize
	if resp.ResponseType() == msg.TypeIdentifyResponse {
		limit = 0 // a client cannot do without its dictionary
	}
	frame, err := wire.AppendResponse(dst, v, resp, c.responseCoder(), limit)
	var size *wire.SizeError
	if !errors.As(err, &size) {
		return frame, err
	}
	smaller, ok := fit(resp, size)
	if !ok {
		return nil, err
	}
	return c.encode(dst, v, smaller)
}

// encodeAsRecorded has the limits of the reference server: the length on the
// wire counts, and what exceeds it is never sent (server semantics 1.1).
func (c *conn) encodeAsRecorded(dst []byte, v wire.Version, resp msg.Response) ([]byte, error) {
	frame, err := wire.AppendResponse(dst, v, resp, c.responseCoder(), 0)
	var size *wire.SizeError
	if errors.As(err, &size) {
		return nil, errUnsendable
	}
	body := len(frame) - len(dst) - wire.HeaderSize
	if err == nil && resp.ResponseType() != msg.TypeIdentifyResponse && body > int(c.server.Limits.MaxResponseSize) {
		return nil, errUnsendable
	}
	return frame, err
}

// fit returns a smaller response that says as much as possible of one that is
// too large; false when there is nothing left to leave out.
func fit(resp msg.Response, size *wire.SizeError) (msg.Response, bool) {
	switch resp := resp.(type) {
	case *msg.ErrorResponse:
		keep := len(resp.Message) - int(size.Size-size.Limit)
		shorter := truncateMessage(resp.Message, keep)
		return &msg.ErrorResponse{Correlated: resp.Correlated, Code: resp.Code, Message: shorter}, len(shorter) < len(resp.Message)
	case *msg.ReadResponse:
		if half := len(resp.Batches) / 2; half > 0 {
			return &msg.ReadResponse{Correlated: resp.Correlated, Batches: resp.Batches[:half],
				NextVersion: msg.Some(resp.Batches[half].Version)}, true
		}
		return tooLarge(resp, msg.CodeReadDataBlocks, size), true
	case *msg.ListOrgsResponse:
		return tooLarge(resp, msg.CodeListOrgs, size), true
	case *msg.ListTypesResponse:
		return tooLarge(resp, msg.CodeListTypes, size), true
	case *msg.ListAggregatesResponse:
		return tooLarge(resp, msg.CodeListAggregates, size), true
	}
	return nil, false
}

func tooLarge(resp msg.Response, code msg.Code, size *wire.SizeError) *msg.ErrorResponse {
	return &msg.ErrorResponse{
		Correlated: msg.Correlated{CorrelationID: resp.Correlation()},
		Code:       code,
		Message:    fmt.Sprintf(`{"detail":"a response of %d bytes exceeds the limit of %d"}`, size.Size, size.Limit),
	}
}

// truncateMessage cuts an error message to at most limit bytes. A JSON object
// that ends in a text keeps all its fields, the text is cut; any other becomes
// an empty object. Protocol section 14.1.
func truncateMessage(message string, limit int) string {
	const end = `"}`
	if len(message) <= limit {
		return message
	}
	if !strings.HasPrefix(message, "{") {
		return strings.ToValidUTF8(message[:max(limit, 0)], "")
	}
	// An escape sequence has at most six bytes: one of the next cuts is whole.
	for cut := limit - len(end); cut > 0 && cut > limit-len(end)-8; cut-- {
		shorter := message[:cut] + end
		if utf8.ValidString(shorter) && json.Valid([]byte(shorter)) {
			return shorter
		}
	}
	return "{}"
}

// correlated returns the response with the correlation id, if it can have one
// and has none. The response itself, an interceptor's, is left alone.
func correlated(resp msg.Response, id msg.Opt[msg.ID]) msg.Response {
	if resp.Correlation().Set {
		return resp
	}
	switch r := resp.(type) {
	case *msg.DetailsResponse:
		return withID(*r, func(r *msg.DetailsResponse) { r.CorrelationID = id })
	case *msg.ReadResponse:
		return withID(*r, func(r *msg.ReadResponse) { r.CorrelationID = id })
	case *msg.WriteResponse:
		return withID(*r, func(r *msg.WriteResponse) { r.CorrelationID = id })
	case *msg.TrimStartResponse:
		return withID(*r, func(r *msg.TrimStartResponse) { r.CorrelationID = id })
	case *msg.DeleteResponse:
		return withID(*r, func(r *msg.DeleteResponse) { r.CorrelationID = id })
	case *msg.ErrorResponse:
		return withID(*r, func(r *msg.ErrorResponse) { r.CorrelationID = id })
	case *msg.ListOrgsResponse:
		return withID(*r, func(r *msg.ListOrgsResponse) { r.CorrelationID = id })
	case *msg.ListTypesResponse:
		return withID(*r, func(r *msg.ListTypesResponse) { r.CorrelationID = id })
	case *msg.ListAggregatesResponse:
		return withID(*r, func(r *msg.ListAggregatesResponse) { r.CorrelationID = id })
	case *msg.RegisterSchemaResponse:
		return withID(*r, func(r *msg.RegisterSchemaResponse) { r.CorrelationID = id })
	case *msg.IdentifyResponse:
		return withID(*r, func(r *msg.IdentifyResponse) { r.CorrelationID = id })
	}
	return resp
}

// withID returns a pointer to a changed copy.
func withID[T any](r T, set func(*T)) *T {
	set(&r)
	return &r
}
