package gateway

import (
	"context"
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// refusal is an error whose text and code are meant for the caller.
type refusal struct {
	code   codes.Code
	reason string
	text   string
	retry  time.Duration // with RESOURCE_EXHAUSTED and UNAVAILABLE
}

func (r *refusal) Error() string { return r.text }

func invalid(err error) error {
	return &refusal{code: codes.InvalidArgument, reason: "INVALID", text: err.Error()}
}

func exhausted(reason, text string) error {
	return &refusal{code: codes.ResourceExhausted, reason: reason, text: text, retry: time.Second}
}

// answer is what a caller is told of an error.
type answer struct {
	code   codes.Code
	text   string
	retry  time.Duration
	detail *pb.ErrorDetail
}

// explain decides what a caller is told. Nothing of an error's own text leaves the
// gateway unless the gateway made it: it may name nodes. mutation tells that the
// call may have changed data.
func explain(err error, mutation bool) answer {
	a := answer{code: codes.Internal, text: "the gateway failed; its log says why", detail: &pb.ErrorDetail{
		Outcome: pb.Outcome_OUTCOME_NOT_APPLIED, Reason: "INTERNAL",
	}}
	set := func(code codes.Code, reason, text string) { a.code, a.detail.Reason, a.text = code, reason, text }
	var refused *refusal
	var node *msg.ServerError
	if errors.As(err, &refused) {
		set(refused.code, refused.reason, refused.text)
		a.retry = refused.retry
		return a
	}
	if errors.As(err, &node) {
		a.detail.Code = uint32(node.Code)
		a.detail.CurrentVersion = optional(node.Fields.CurrentVersion)
		a.detail.MinimumAvailable = optional(node.Fields.MinimumAvailable)
	}
	if mutation && msg.Ambiguous(err) {
		set(codes.Unknown, "AMBIGUOUS", "the change may have been applied")
		a.detail.Outcome = pb.Outcome_OUTCOME_MAY_BE_APPLIED
		return a
	}
	a.detail.SafeToRetry = msg.SafeToRetry(err)
	if e := classify(err); e != nil {
		set(e.code, e.reason, e.text)
		if node != nil {
			a.text = "the node answered " + node.Code.String()
		}
	} else if a.detail.SafeToRetry {
		set(codes.Unavailable, "UNAVAILABLE", "the event store cannot be reached")
	}
	if a.code == codes.Unavailable || a.code == codes.ResourceExhausted {
		a.retry = time.Second
	}
	return a
}

// classes are the errors a caller can do something about, the first match counts.
var classes = []struct {
	is   error
	what refusal
}{
	{access.ErrUnauthenticated, refusal{codes.Unauthenticated, "UNAUTHENTICATED", "the credentials are missing, wrong or expired", 0}},
	{access.ErrDenied, refusal{codes.PermissionDenied, "DENIED", "the caller may not do that", 0}},
	{checkpoint.ErrNotParked, refusal{codes.NotFound, "NOT_PARKED", "the aggregate is not parked", 0}},
	{msg.ErrNotFound, refusal{codes.NotFound, "NOT_FOUND", "the aggregate does not exist", 0}},
	{msg.ErrTrimmed, refusal{codes.OutOfRange, "TRIMMED", "the version was trimmed", 0}},
	{msg.ErrConflict, refusal{codes.Aborted, "VERSION_CONFLICT", "the aggregate is at another version", 0}},
	{msg.ErrDuplicate, refusal{codes.AlreadyExists, "DUPLICATE", "a write with this sequence is stored", 0}},
	{msg.ErrInFlight, refusal{codes.Unavailable, "IN_FLIGHT", "a write with this sequence is being committed", 0}},
	{msg.ErrNotRecreatable, refusal{codes.FailedPrecondition, "NOT_RECREATABLE", "the aggregate was deleted for good", 0}},
	{msg.ErrSchema, refusal{codes.InvalidArgument, "SCHEMA", "a schema refused", 0}},
	{msg.ErrRouting, refusal{codes.InvalidArgument, "ROUTING", "the request fits no shard", 0}},
	{msg.ErrUnauthorized, refusal{codes.FailedPrecondition, "GATEWAY_CREDENTIALS", "the node refuses the gateway's own credentials", 0}},
	{pool.ErrTooLarge, refusal{codes.InvalidArgument, "TOO_LARGE", "the request is too large", 0}},
	{pool.ErrResponseTooLarge, refusal{codes.FailedPrecondition, "BATCH_TOO_LARGE", "the answer is too large", 0}},
	{pool.ErrInvalid, refusal{codes.InvalidArgument, "INVALID", "the request is not valid", 0}},
	{checkpoint.ErrFenced, refusal{codes.Aborted, "FENCED", "a newer member took over", 0}},
	{stream.ErrClosed, refusal{codes.Unavailable, "STOPPING", "the gateway stops", 0}},
	{context.DeadlineExceeded, refusal{codes.DeadlineExceeded, "DEADLINE", "the deadline passed", 0}},
	{context.Canceled, refusal{codes.Canceled, "CANCELLED", "the call was cancelled", 0}},
}

func classify(err error) *refusal {
	var scope *checkpoint.ScopeError
	if errors.As(err, &scope) {
		return &refusal{code: codes.FailedPrecondition, reason: "SCOPE_DIFFERS", text: scope.Error()}
	}
	if budget := new(celeriant.BudgetError); errors.As(err, &budget) {
		return &refusal{code: codes.ResourceExhausted, reason: "MEMORY", text: "the memory for what is read ahead of clients is taken"}
	}
	for i := range classes {
		if errors.Is(err, classes[i].is) {
			return &classes[i].what
		}
	}
	return nil
}

func optional(v msg.Opt[uint64]) *uint64 {
	if !v.Set {
		return nil
	}
	return &v.Value
}

// statusOf makes a gRPC status of an error. A nil error stays nil.
func statusOf(err error, mutation bool) error {
	if err == nil {
		return nil
	}
	a := explain(err, mutation)
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(a.detail)}
	if a.retry > 0 {
		details = append(details, protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(a.retry)}))
	}
	s, failed := status.New(a.code, a.text).WithDetails(details...)
	if failed != nil {
		return status.Error(a.code, a.text)
	}
	return s.Err()
}

// causeText describes the cause of a state without addresses.
func causeText(err error) string {
	if err == nil {
		return ""
	}
	return explain(err, false).text
}
