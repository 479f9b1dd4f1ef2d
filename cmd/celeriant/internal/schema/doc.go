// Package schema compiles and enforces the schemas clients register: JSON
// Schema, Avro and Protobuf. The package plugs into the in-process node through
// celerianttest.Options.Validators; the library itself needs none of it.
//
// Schemas and events come from the network. Nothing here follows references
// out of a schema, reads files, or lets a schema or an event decide how deep it
// recurses or how long it works.
package schema
