package conformance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// shape is the corner of JSON Schema that the suite registers.
type shape struct {
	Type       string           `json:"type"`
	Properties map[string]shape `json:"properties"`
	Required   []string         `json:"required"`
}

func (shape) Compile(text string) (celerianttest.Validator, error) {
	var anything bool
	if json.Unmarshal([]byte(text), &anything) == nil && anything {
		return shape{}, nil
	}
	var s shape
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", "object", "string"}, s.Type) {
		return nil, fmt.Errorf("%q is no type", s.Type)
	}
	return s, nil
}

func (s shape) Validate(value []byte) error {
	var object map[string]any
	switch {
	case !json.Valid(value):
		return errors.New("no JSON")
	case s.Type != "object":
		return nil
	case json.Unmarshal(value, &object) != nil:
		return errors.New("no object")
	}
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("%q is required", name)
		}
	}
	return nil
}
