package schema_test

import (
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/schema"
)

const (
	avroPerson = `{"type":"record","name":"Person","fields":[{"name":"name","type":"string"},{"name":"age","type":["null","int"]}]}`
	avroList   = `{"type":"record","name":"Cell","fields":[{"name":"next","type":["null","Cell"]}]}`
	avroLoop   = `{"type":"record","name":"Loop","fields":[{"name":"self","type":"Loop"}]}`
	avroNested = `{"type":"record","name":"Outer","fields":[{"name":"in","type":{"type":"record","name":"In","fields":[{"name":"flag","type":"boolean"}]}}]}`
)

func TestAvroSchemasAccepted(t *testing.T) {
	accepts(t, schema.Avro{}, map[string]string{
		"primitive":         `"string"`,
		"primitive object":  `{"type":"long","logicalType":"timestamp-millis"}`,
		"record":            avroPerson,
		"recursive record":  avroList,
		"endless record":    avroLoop,
		"union":             `["null","string"]`,
		"fixed, enum, map":  `{"type":"map","values":[{"type":"fixed","name":"F","size":2},{"type":"enum","name":"E","symbols":["A"]}]}`,
		"record, once more": avroPerson,
	})
}

// A name that one schema defines must mean nothing in another.
func TestAvroNamesStayInTheirSchema(t *testing.T) {
	accepts(t, schema.Avro{}, map[string]string{"defines": avroPerson})
	refuses(t, schema.Avro{}, map[string]refused{"uses": {`"Person"`, "Person"}})
}

func TestAvroSchemasRefused(t *testing.T) {
	refuses(t, schema.Avro{}, map[string]refused{
		"empty":        {``, "no valid JSON"},
		"bare name":    {`string`, "no valid JSON"},
		"JSON Schema":  {person, "object"},
		"unknown name": {`"Nobody"`, "Nobody"},
		"number":       {`7`, "unknown type"},
		"no fields":    {`{"type":"record","name":"R"}`, "fields"},
	})
}

func TestAvroValues(t *testing.T) {
	judges(t, schema.Avro{}, []verdict{
		{avroPerson, "\x04ab\x00", ""},
		{avroPerson, "\x04ab\x02\x0e", ""},
		{avroPerson, "\x04ab\x00trailing", ""},
		{avroPerson, "", "ends in the middle"},
		{avroPerson, "\x04a", "ends in the middle"},
		{avroPerson, "\x04ab", "field age: ends in the middle"},
		{avroPerson, "\x04ab\x04", "union branch 2"},
		{avroPerson, "\x04ab\x01", "union branch -1"},
		{avroPerson, "\x04\xff\xfe\x00", "UTF-8"},
		{avroPerson, "\x03", "negative"},
		{avroNested, "\x02", "field in.flag: byte 2"},
		{`"null"`, "", ""},
		{`"boolean"`, "\x01", ""},
		{`"int"`, "\xfe\xff\xff\xff\x0f", ""},
		{`"int"`, "\x80\x80\x80\x80\x10", "does not fit an int"},
		{`"long"`, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ""},
		{`"long"`, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03", "exceeds 64 bits"},
		{`"float"`, "\x00\x00\x80\x3f", ""},
		{`"double"`, "\x00\x00\x80\x3f", "ends in the middle"},
		{`"bytes"`, "\x04\xff\xfe", ""},
		{`{"type":"fixed","name":"F","size":2}`, "ab", ""},
		{`{"type":"fixed","name":"F","size":2}`, "a", "ends in the middle"},
		{`{"type":"enum","name":"E","symbols":["A","B"]}`, "\x02", ""},
		{`{"type":"enum","name":"E","symbols":["A","B"]}`, "\x04", "enum symbol 2"},
		{`{"type":"array","items":"int"}`, "\x04\x02\x04\x02\x06\x00", ""},
		{`{"type":"array","items":"int"}`, "\x03\x04\x02\x04\x00", ""},
		{`{"type":"array","items":"int"}`, "\x04\x02\x04", "ends in the middle"},
		{`{"type":"map","values":"int"}`, "\x02\x02k\x02\x00", ""},
		{`{"type":"map","values":"int"}`, "\x02\x02\xff\x02\x00", "UTF-8"},
		{avroList, strings.Repeat("\x02", 400) + "\x00", ""},
	})
}

// Values that take no bytes must not take time or stack either.
func TestAvroBoundsHostileValues(t *testing.T) {
	judges(t, schema.Avro{}, []verdict{
		{avroLoop, "", "nested deeper than 10000"},
		{avroList, strings.Repeat("\x02", 1<<20), "nested deeper than 10000"},
		{`{"type":"array","items":"null"}`, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "too many values"},
		{`{"type":"array","items":"null"}`, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "too many values"},
		{`"string"`, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ends in the middle"},
	})
}

func FuzzAvro(f *testing.F) {
	for _, text := range []string{avroPerson, avroList, avroLoop, avroNested, `{"type":"map","values":"double"}`} {
		f.Add(text, []byte("\x04ab\x00"))
	}
	f.Fuzz(func(t *testing.T, text string, value []byte) { neverPanics(schema.Avro{}, text, value) })
}

func FuzzJSON(f *testing.F) {
	f.Add(person, []byte(`{"name":"x"}`))
	f.Add(`{"$ref":"#"}`, []byte(`1`))
	f.Fuzz(func(t *testing.T, text string, value []byte) { neverPanics(schema.JSON{}, text, value) })
}
