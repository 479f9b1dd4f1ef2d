package shard_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
)

// tinyJSONSchema understands as much of JSON Schema as the recordings use.
type tinyJSONSchema struct{}

func (tinyJSONSchema) Compile(text string) (shard.Validator, error) {
	if text == "true" {
		return tinyValidator{}, nil
	}
	var s tinyValidator
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("Invalid JSON schema: %w", err)
	}
	return s, s.check()
}

type tinyValidator struct {
	Type       string                   `json:"type"`
	Properties map[string]tinyValidator `json:"properties"`
	Required   []string                 `json:"required"`
}

func (s tinyValidator) check() error {
	switch s.Type {
	case "", "object", "string":
		return nil
	}
	return fmt.Errorf("%q is not a type", s.Type)
}

func (s tinyValidator) Validate(value []byte) error {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return fmt.Errorf("Event value is not valid JSON: %w", err)
	}
	return s.match(v)
}

func (s tinyValidator) match(v any) error {
	object, isObject := v.(map[string]any)
	_, isString := v.(string)
	if (s.Type == "object" && !isObject) || (s.Type == "string" && !isString) {
		return fmt.Errorf("%v is not of type %q", v, s.Type)
	}
	for _, name := range s.Required {
		if _, has := object[name]; !has {
			return fmt.Errorf("%q is a required property", name)
		}
	}
	for name, property := range s.Properties {
		if value, has := object[name]; has {
			if err := property.match(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuseAll compiles nothing.
type refuseAll struct{}

func (refuseAll) Compile(string) (shard.Validator, error) {
	return nil, errors.New("unknown primitive type")
}
