package schema

import (
	"encoding/json"
	"errors"

	"github.com/hamba/avro/v2"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// Avro compiles Avro schemas in their JSON form. Events are bare binary datums
// (no container, no fingerprint); bytes after the datum are tolerated.
// Logical types are checked as the types they are made of.
type Avro struct{}

// Compile returns a validator for binary datums.
func (Avro) Compile(text string) (celerianttest.Validator, error) {
	if !json.Valid([]byte(text)) {
		return nil, errors.New("invalid Avro schema: no valid JSON")
	}
	// A cache of its own: names belong to one schema, not to the process.
	parsed, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, err
	}
	return avroValidator{parsed}, nil
}

type avroValidator struct{ schema avro.Schema }

func (v avroValidator) Validate(value []byte) error {
	d := datum{rest: value, size: len(value), steps: avroSteps + len(value)}
	return d.walk(v.schema, 0)
}
