package shard

import (
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// schema is a registered schema, ready for use. Both fields are nil when its
// language has no compiler: then nothing is validated.
type schema struct {
	validator Validator
	broken    error // why the stored text does not compile
}

func compileSchema(e *SchemaEntry, compilers map[msg.SchemaType]SchemaCompiler) *schema {
	compiler := compilers[e.Type]
	if compiler == nil {
		return &schema{}
	}
	validator, err := compiler.Compile(e.Text)
	if err != nil {
		return &schema{broken: err}
	}
	return &schema{validator: validator}
}

// RegisterSchema appends a schema, or refuses it in the order of section 6:
// language, size, compilation, existence. Validation begins at once, before
// the record is committed.
func (s *Shard) RegisterSchema(req *msg.RegisterSchemaRequest, now uint64) (*msg.RegisterSchemaResponse, *Refusal) {
	kind := number("schema_type", uint64(req.SchemaType))
	if req.SchemaType > msg.SchemaProtobuf {
		return nil, refusal(msg.CodeSchemaUnsupported, kind)
	}
	if len(req.Schema) > s.options.MaxSchemaSize {
		return nil, refusal(msg.CodeSchemaInvalid, kind, text("parse_error",
			fmt.Sprintf("schema of %d bytes exceeds the limit of %d", len(req.Schema), s.options.MaxSchemaSize)))
	}
	entry := SchemaEntry{Key: req.Key, Type: req.SchemaType, Text: req.Schema}
	if err := compileSchema(&entry, s.options.Validators).broken; err != nil {
		return nil, refusal(msg.CodeSchemaInvalid, kind, text("parse_error", err.Error()))
	}
	if s.ledger.schemas[req.Key] != nil {
		return nil, refusal(msg.CodeSchemaExists,
			number("event_type_major", req.Key.Major), number("event_type_minor", req.Key.Minor))
	}
	record := &Record{Kind: RecordSchema, Time: now, ClientID: req.ClientID, UserID: req.UserID, Schema: entry}
	if no := s.append(record, msg.CodeSchemaSync); no != nil {
		return nil, no
	}
	return &msg.RegisterSchemaResponse{Correlated: req.Correlated}, nil
}

// checkSchemas validates the events of one aggregate's write, in order,
// skipping encrypted ones.
func (s *Shard) checkSchemas(key msg.Key, events []msg.Event) *Refusal {
	if len(s.ledger.schemas) == 0 {
		return nil
	}
	for i := range events {
		e := &events[i]
		sc := s.ledger.schemas[msg.SchemaKey{Org: key.Org, Type: key.Type, Major: e.Major, Minor: e.Minor}]
		if sc == nil || e.IV.Set {
			continue
		}
		if sc.broken != nil {
			return schemaRefusal(msg.CodeSchemaUncompilable, e, "compilation_error", sc.broken)
		}
		if sc.validator == nil {
			continue
		}
		if err := sc.validator.Validate(e.Value); err != nil {
			return schemaRefusal(msg.CodeSchemaMismatch, e, "validation_error", err)
		}
	}
	return nil
}

func schemaRefusal(code msg.Code, e *msg.Event, name string, err error) *Refusal {
	return refusal(code, number("event_type_major", e.Major), number("event_type_minor", e.Minor),
		number("client_seq", e.ClientSeq), text(name, err.Error()))
}
