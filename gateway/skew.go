package gateway

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
)

// interfacePackage holds the messages of the interface.
var interfacePackage = pb.File_celeriant_gateway_v1_subscriptions_proto.Package()

// understood refuses a request of the interface that has a field this release does not
// know. A client that is newer than the gateway would believe that what it asks for is
// done: a filter, a start, a guard.
func understood(request any) error {
	m, ok := request.(proto.Message)
	if !ok {
		return nil
	}
	r := m.ProtoReflect()
	if r.Descriptor().ParentFile().Package() != interfacePackage {
		return nil
	}
	if field := unknownField(r); field != "" {
		return &refusal{code: codes.FailedPrecondition, reason: "UNKNOWN_FIELD",
			text: fmt.Sprintf("%s has a field this gateway does not know: it is older than the client", field)}
	}
	return nil
}

// unknownField names a message with a field that this release does not know, ""
// if there is none.
func unknownField(m protoreflect.Message) (name string) {
	if len(m.GetUnknown()) > 0 {
		return string(m.Descriptor().Name())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				if name = unknownField(v.List().Get(i).Message()); name != "" {
					return false
				}
			}
		default:
			name = unknownField(v.Message())
		}
		return name == ""
	})
	return name
}
