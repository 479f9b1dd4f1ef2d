package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// JSON compiles JSON Schema: drafts 4 to 2020-12, the newest unless $schema
// says otherwise. References lead only within the schema. Patterns are those
// of package regexp, which work in linear time and know no look-around.
type JSON struct{}

// jsonName is what relative references inside a schema are relative to.
const jsonName = "celeriant:///schema"

// Compile returns a validator for events that are whole JSON documents.
func (JSON) Compile(text string) (celerianttest.Validator, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("invalid JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nothingElse{})
	if err := c.AddResource(jsonName, document); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(jsonName)
	if err != nil {
		return nil, fmt.Errorf("invalid JSON Schema: %w", explain(err))
	}
	return jsonValidator{compiled}, nil
}

type jsonValidator struct{ schema *jsonschema.Schema }

func (v jsonValidator) Validate(value []byte) error {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return fmt.Errorf("the event is no valid JSON: %w", err)
	}
	return explain(v.schema.Validate(document))
}

// nothingElse refuses references out of a schema: the default would read
// files of the node's machine.
type nothingElse struct{}

func (nothingElse) Load(url string) (any, error) {
	return nil, fmt.Errorf("reference to %s leads out of the schema", url)
}

// explain puts what a validation found into one line. Other errors pass.
func explain(err error) error {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	var found []string
	for _, unit := range invalid.BasicOutput().Errors {
		if unit.Error == nil {
			continue
		}
		found = append(found, fmt.Sprintf("at '%s': %s", unit.InstanceLocation, unit.Error))
	}
	if len(found) == 0 {
		return errors.New("does not fit the schema")
	}
	return errors.New(strings.Join(found, "; "))
}
