package msg

import (
	"errors"
	"fmt"
)

// Sentinels for errors.Is. A [*ServerError] matches each sentinel its code
// belongs to.
var (
	// ErrNotFound: the aggregate does not exist, or is deleted.
	ErrNotFound = errors.New("aggregate not found")
	// ErrTrimmed: the version asked for lies below the trim floor.
	ErrTrimmed = errors.New("version below the trim floor")
	// ErrConflict: the aggregate is not at the expected version.
	ErrConflict = errors.New("version conflict")
	// ErrDuplicate: a write with this client sequence is already stored.
	// ErrDuplicate is not proof that it was this write: another writer may
	// share the client id.
	ErrDuplicate = errors.New("client sequence already stored")
	// ErrInFlight: a write with this client sequence is being committed.
	ErrInFlight = errors.New("duplicate of a write in flight")
	// ErrNotRecreatable: the aggregate was deleted for good.
	ErrNotRecreatable = errors.New("aggregate deleted, recreation not allowed")
	// ErrNotLeader: the node does not accept mutations.
	ErrNotLeader = errors.New("not the leader")
	// ErrBusy: the node sheds load; back off and retry.
	ErrBusy = errors.New("node busy")
	// ErrSchema: a schema, or an event that has one, was refused.
	ErrSchema = errors.New("schema refused")
	// ErrRouting: the keys, filters or shard id do not fit the shard routing.
	ErrRouting = errors.New("request does not fit the shard routing")
	// ErrUnauthorized: the credentials are missing, wrong or too weak.
	ErrUnauthorized = errors.New("not authorized")
)

// sentinels maps codes to what errors.Is should match beyond class sentinels.
var sentinels = map[Code]error{
	CodeVersionUnavailable: ErrTrimmed,
	CodeReadNotFound:       ErrNotFound,
	CodeWriteNotFound:      ErrNotFound,
	CodeTrimNotFound:       ErrNotFound,
	CodeDeleteNotFound:     ErrNotFound,
	CodeDetailsNotFound:    ErrNotFound,
	CodeVersionConflict:    ErrConflict,
	CodeDeleteConflict:     ErrConflict,
	CodeDuplicate:          ErrDuplicate,
	CodeInFlight:           ErrInFlight,
	CodeRecreateNotAllowed: ErrNotRecreatable,
	CodeSchemaExists:       ErrSchema,
	CodeSchemaInvalid:      ErrSchema,
	CodeSchemaMismatch:     ErrSchema,
	CodeSchemaUncompilable: ErrSchema,
	CodeSchemaUnsupported:  ErrSchema,
	CodeNoRoutingKey:       ErrRouting,
	CodeSeveralShards:      ErrRouting,
	CodeRouting:            ErrRouting,
}

// ServerError is a node's refusal of a request.
type ServerError struct {
	Code Code
	// Message is the node's text, word for word: compact JSON or prose. The
	// text may hold control characters; print it through [Printable].
	Message string
	// Fields are the details parsed from Message.
	Fields ErrorFields
	// Node is the address of the node that answered, when known.
	Node string
}

// NewServerError makes an error of an error response from the node at address.
func NewServerError(r *ErrorResponse, address string) *ServerError {
	return &ServerError{Code: r.Code, Message: r.Message, Fields: ParseErrorFields(r.Message), Node: address}
}

// Error returns the code, its meaning, the node's text and the node. Text from
// the network is escaped and shortened, see [Printable].
func (e *ServerError) Error() string {
	text := fmt.Sprintf("node answered %v", e.Code)
	if e.Node != "" {
		text = fmt.Sprintf("node %s answered %v", Printable(e.Node), e.Code)
	}
	if e.Message != "" && e.Message != "{}" {
		text += ": " + Printable(e.Message)
	}
	return text
}

// Is matches the sentinels of this package.
func (e *ServerError) Is(target error) bool {
	if s, ok := sentinels[e.Code]; ok && s == target {
		return true
	}
	switch e.Code.Class() {
	case ClassRedirect:
		return target == ErrNotLeader
	case ClassBusy:
		return target == ErrBusy
	case ClassAuth:
		return target == ErrUnauthorized
	}
	return false
}

// SafeToRetry reports whether the request was certainly not applied and the
// same request may succeed later or on another node.
func (e *ServerError) SafeToRetry() bool { return e.Code.SafeToRetry() }

// Ambiguous reports whether a mutation may have been applied all the same.
func (e *ServerError) Ambiguous() bool { return e.Code.Ambiguous() }
