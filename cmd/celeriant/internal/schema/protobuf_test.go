package schema_test

import (
	"encoding/base64"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/schema"
)

// descriptors is the set that describes
//
//	syntax = "proto3"; package shop;
//	message Order { string name = 1; Order next = 2; }
//	enum Colour { RED = 0; }
//
// and, as proto2, message Strict { required int32 id = 1; }.
func descriptors() *descriptorpb.FileDescriptorSet {
	field := func(name string, number int32, label descriptorpb.FieldDescriptorProto_Label, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Label: &label, Type: &kind}
	}
	optional := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
	next := field("next", 2, optional, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
	next.TypeName = proto.String(".shop.Order")
	return &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("shop.proto"), Package: proto.String("shop"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Order"),
			Field: []*descriptorpb.FieldDescriptorProto{
				field("name", 1, optional, descriptorpb.FieldDescriptorProto_TYPE_STRING), next,
			},
		}},
		EnumType: []*descriptorpb.EnumDescriptorProto{{
			Name:  proto.String("Colour"),
			Value: []*descriptorpb.EnumValueDescriptorProto{{Name: proto.String("RED"), Number: proto.Int32(0)}},
		}},
	}, {
		Name: proto.String("strict.proto"), Package: proto.String("strict"), Syntax: proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Strict"),
			Field: []*descriptorpb.FieldDescriptorProto{
				field("id", 1, descriptorpb.FieldDescriptorProto_LABEL_REQUIRED, descriptorpb.FieldDescriptorProto_TYPE_INT32),
			},
		}},
	}}}
}

func protobufSchema(set *descriptorpb.FileDescriptorSet, name string) string {
	raw, err := proto.Marshal(set)
	if err != nil {
		panic(err) // a constant of this test
	}
	return base64.StdEncoding.EncodeToString(raw) + ":" + name
}

func TestProtobufSchemasAccepted(t *testing.T) {
	accepts(t, schema.Protobuf{}, map[string]string{
		"proto3": protobufSchema(descriptors(), "shop.Order"),
		"proto2": protobufSchema(descriptors(), "strict.Strict"),
	})
}

func TestProtobufSchemasRefused(t *testing.T) {
	incomplete := descriptors()
	incomplete.File[0].Dependency = []string{"google/protobuf/timestamp.proto"}
	refuses(t, schema.Protobuf{}, map[string]refused{
		"empty":            {"", "full.Message.Name"},
		"no name":          {"AAAA", "full.Message.Name"},
		"no base64":        {"!!!:shop.Order", "base64"},
		"no descriptors":   {base64.StdEncoding.EncodeToString([]byte("\xff\xff")) + ":x", "file descriptor set"},
		"unknown message":  {protobufSchema(descriptors(), "shop.Nobody"), `"shop.Nobody" is not in`},
		"name empty":       {protobufSchema(descriptors(), ""), "not in"},
		"enum":             {protobufSchema(descriptors(), "shop.Colour"), "no message"},
		"field":            {protobufSchema(descriptors(), "shop.Order.name"), "no message"},
		"import left out":  {protobufSchema(incomplete, "shop.Order"), "timestamp.proto"},
		"empty descriptor": {":shop.Order", "not in"},
	})
}

func TestProtobufValues(t *testing.T) {
	order := protobufSchema(descriptors(), "shop.Order")
	judges(t, schema.Protobuf{}, []verdict{
		{order, "", ""},
		{order, "\x0a\x02ok", ""},
		{order, "\x12\x04\x0a\x02ok", ""},
		{order, "\x78\x01", ""}, // an unknown field
		{order, "\x0a\x05ok", "no shop.Order"},
		{order, "\x0a\x02\xff\xfe", "no shop.Order"},
		{order, "\x12\x02\x0a\x05", "no shop.Order"},
		{protobufSchema(descriptors(), "strict.Strict"), "", ""}, // decoding asks for no required field
	})
}

func FuzzProtobuf(f *testing.F) {
	f.Add(protobufSchema(descriptors(), "shop.Order"), []byte("\x0a\x02ok"))
	f.Fuzz(func(t *testing.T, text string, value []byte) {
		neverPanics(schema.Protobuf{}, text, value)
		// Raw descriptors find more than base64 text does.
		neverPanics(schema.Protobuf{}, base64.StdEncoding.EncodeToString([]byte(text))+":shop.Order", value)
	})
}
