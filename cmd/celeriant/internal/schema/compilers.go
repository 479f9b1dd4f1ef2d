package schema

import (
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// Compilers returns a compiler for every language the protocol knows, safe for
// concurrent use.
func Compilers() map[msg.SchemaType]celerianttest.SchemaCompiler {
	return map[msg.SchemaType]celerianttest.SchemaCompiler{
		msg.SchemaJSON:     JSON{},
		msg.SchemaAvro:     Avro{},
		msg.SchemaProtobuf: Protobuf{},
	}
}
