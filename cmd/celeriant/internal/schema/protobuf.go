package schema

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// Protobuf compiles schemas of the form
//
//	base64(FileDescriptorSet):full.Message.Name
//
// where the set, in standard base64, contains everything the message needs,
// as protoc --include_imports writes it. Events fit when they decode: unknown
// fields are fine, and required ones may be missing.
type Protobuf struct{}

// Compile returns a validator for encoded messages of the named type.
func (Protobuf) Compile(text string) (celerianttest.Validator, error) {
	encoded, name, ok := strings.Cut(text, ":")
	if !ok {
		return nil, errors.New(`invalid Protobuf schema: want "base64(FileDescriptorSet):full.Message.Name"`)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("invalid Protobuf schema: file descriptor set: %w", err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("invalid Protobuf schema: file descriptor set: %w", err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("invalid Protobuf schema: file descriptor set: %w", err)
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("invalid Protobuf schema: message %q is not in the file descriptor set", name)
	}
	message, ok := found.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("invalid Protobuf schema: %q is no message", name)
	}
	return protobufValidator{dynamicpb.NewMessageType(message)}, nil
}

type protobufValidator struct{ message protoreflect.MessageType }

func (v protobufValidator) Validate(value []byte) error {
	decode := proto.UnmarshalOptions{AllowPartial: true, DiscardUnknown: true}
	if err := decode.Unmarshal(value, v.message.New().Interface()); err != nil {
		return fmt.Errorf("the event is no %s: %w", v.message.Descriptor().FullName(), err)
	}
	return nil
}
