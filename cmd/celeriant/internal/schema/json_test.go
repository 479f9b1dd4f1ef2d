package schema_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/schema"
)

const person = `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`

func TestJSONSchemasAccepted(t *testing.T) {
	accepts(t, schema.JSON{}, map[string]string{
		"object":             person,
		"true":               `true`,
		"false":              `false`,
		"empty object":       `{}`,
		"draft 4":            `{"$schema":"http://json-schema.org/draft-04/schema#","type":"integer"}`,
		"draft 7":            `{"$schema":"http://json-schema.org/draft-07/schema#","type":"integer"}`,
		"draft 2020-12":      `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"integer"}`,
		"inner reference":    `{"$defs":{"n":{"type":"integer"}},"$ref":"#/$defs/n"}`,
		"recursion":          `{"properties":{"next":{"$ref":"#"}}}`,
		"id of its own":      `{"$id":"https://example.org/s.json","$defs":{"n":{"type":"null"}},"$ref":"#/$defs/n"}`,
		"relative id":        `{"$id":"s.json","type":"integer"}`,
		"unknown keyword":    `{"x-owner":"us"}`,
		"unknown format":     `{"format":"x"}`,
		"linear-time regexp": `{"pattern":"^[a-z]+$"}`,
	})
}

func TestJSONSchemasRefused(t *testing.T) {
	refuses(t, schema.JSON{}, map[string]refused{
		"empty":                {``, "invalid JSON"},
		"no JSON":              {`{not json`, "invalid JSON"},
		"trailing text":        {`{} {}`, "invalid JSON"},
		"number":               {`7`, "invalid JSON Schema"},
		"no such type":         {`{"type":"nonsense"}`, "/type"},
		"dangling reference":   {`{"$ref":"#/$defs/none"}`, "none"},
		"reference to a file":  {`{"$ref":"file:///etc/hostname"}`, "leads out of the schema"},
		"relative reference":   {`{"$ref":"other.json"}`, "leads out of the schema"},
		"reference to the web": {`{"$ref":"https://example.org/s"}`, "leads out of the schema"},
		"own meta-schema":      {`{"$schema":"https://example.org/meta"}`, "leads out of the schema"},
		"look-ahead":           {`{"pattern":"^(?!a)"}`, "pattern"},
	})
}

func TestJSONValues(t *testing.T) {
	judges(t, schema.JSON{}, []verdict{
		{person, `{"name":"x"}`, ""},
		{person, ` {"name":"x","more":[1,2]} `, ""},
		{person, `{"nom":1}`, "name"},
		{person, `{"name":3}`, "at '/name'"},
		{person, `[]`, "at ''"},
		{person, `not json`, "no valid JSON"},
		{person, ``, "no valid JSON"},
		{person, `{"name":"x"} {}`, "no valid JSON"},
		{`true`, `[1]`, ""},
		{`true`, `[1`, "no valid JSON"},
		{`false`, `1`, "false schema"},
		{`{"const":18446744073709551615}`, `18446744073709551615`, ""},
		{`{"const":18446744073709551615}`, `18446744073709551614`, "must be 18446744073709551615"},
		{`{"$ref":"#"}`, `1`, "at ''"},
		{`{"properties":{"a":{"type":"null"},"b":{"type":"null"}}}`, `{"a":1,"b":2}`, ";"},
		// Formats are asserted up to draft 7 and are annotations after it.
		{`{"$schema":"http://json-schema.org/draft-07/schema#","format":"ipv4"}`, `"x"`, "ipv4"},
		{`{"format":"ipv4"}`, `"x"`, ""},
	})
}
