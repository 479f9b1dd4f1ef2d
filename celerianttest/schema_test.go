package celerianttest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// testValidators understand what the recordings register.
var testValidators = map[msg.SchemaType]celerianttest.SchemaCompiler{
	msg.SchemaJSON: jsonShape{}, msg.SchemaAvro: noAvro{},
}

// jsonShape is the corner of JSON Schema that checks types and required names.
type jsonShape struct {
	Type       string               `json:"type"`
	Properties map[string]jsonShape `json:"properties"`
	Required   []string             `json:"required"`
}

func (jsonShape) Compile(text string) (celerianttest.Validator, error) {
	var anything bool
	if json.Unmarshal([]byte(text), &anything) == nil && anything {
		return jsonShape{}, nil
	}
	var shape jsonShape
	if err := json.Unmarshal([]byte(text), &shape); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "object", "string", "number"}, shape.Type) {
		return nil, fmt.Errorf("%q is no type", shape.Type)
	}
	return shape, nil
}

func (s jsonShape) Validate(value []byte) error {
	var document any
	if err := json.Unmarshal(value, &document); err != nil {
		return err
	}
	return s.accepts(document)
}

func (s jsonShape) accepts(document any) error {
	fields, isObject := document.(map[string]any)
	_, isString := document.(string)
	_, isNumber := document.(float64)
	if fits, named := map[string]bool{"object": isObject, "string": isString, "number": isNumber}[s.Type]; named && !fits {
		return fmt.Errorf("%v is not of type %q", document, s.Type)
	}
	for _, name := range s.Required {
		if _, ok := fields[name]; isObject && !ok {
			return fmt.Errorf("%q is a required property", name)
		}
	}
	for name, value := range fields {
		if err := s.Properties[name].accepts(value); err != nil {
			return err
		}
	}
	return nil
}

// noAvro finds every Avro schema wrong, as the recorded one is.
type noAvro struct{}

func (noAvro) Compile(string) (celerianttest.Validator, error) {
	return nil, errors.New("unknown primitive type")
}
