package shard_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// says refuses bad texts, and all values but good ones, with fixed words.
type says struct{ words string }

func (s says) Compile(text string) (shard.Validator, error) {
	if strings.HasPrefix(text, "bad") {
		return nil, errors.New(s.words)
	}
	return s, nil
}

func (s says) Validate(value []byte) error {
	if string(value) == "good" {
		return nil
	}
	return errors.New(s.words)
}

func withSchemas(t *testing.T, words string) (*node, func(kind msg.SchemaType, major uint64, text string) string) {
	n := newNode(t, shard.Options{MaxSchemaSize: 10, Validators: map[msg.SchemaType]shard.SchemaCompiler{msg.SchemaJSON: says{words}}})
	return n, func(kind msg.SchemaType, major uint64, text string) string {
		_, no := n.RegisterSchema(&msg.RegisterSchemaRequest{
			Key: msg.SchemaKey{Org: id(1), Type: id(2), Major: major}, SchemaType: kind, Schema: text}, 1)
		return onWire(no)
	}
}

// Section 6: language, size, compilation, existence, in this order.
func TestRegisterSchema(t *testing.T) {
	_, register := withSchemas(t, "no")
	for _, tt := range []struct {
		name string
		kind msg.SchemaType
		text string
		want string
	}{
		{"unknown language before size", 3, "badbadbadbad", `2024 {"schema_type":3}`},
		{"size before compilation", 0, "badbadbadba", `2021 {"schema_type":0,"parse_error":"schema of 11 bytes exceeds the limit of 10"}`},
		{"does not compile", 0, "bad", `2021 {"schema_type":0,"parse_error":"no"}`},
		{"new, of the longest size", 0, "0123456789", "ok"},
		{"does not compile, taken", 0, "bad", `2021 {"schema_type":0,"parse_error":"no"}`},
		{"taken, identical", 0, "0123456789", `2020 {"event_type_major":1,"event_type_minor":0}`},
		{"taken, another language", 1, "x", `2020 {"event_type_major":1,"event_type_minor":0}`},
	} {
		expect(t, tt.name, register(tt.kind, 1, tt.text), tt.want)
	}
	expect(t, "no compiler for the language", register(msg.SchemaAvro, 2, "anything"), "ok")
	expect(t, "type 0", register(msg.SchemaJSON, 0, "x"), "ok")
}

// Section 3.1 d, section 6: validation begins at once, goes event by event, and
// looks only at the registered type, never at encrypted events.
func TestSchemaValidation(t *testing.T) {
	n, register := withSchemas(t, "no")
	expect(t, "register", register(msg.SchemaJSON, 1, "x"), "ok")
	expect(t, "register without compiler", register(msg.SchemaProtobuf, 5, "x"), "ok")
	good, bad := []byte("good"), []byte("bad")
	refused := func(seq string) string {
		return `2022 {"event_type_major":1,"event_type_minor":0,"client_seq":` + seq + `,"validation_error":"no"}`
	}
	for _, tt := range []struct {
		name   string
		key    msg.Key
		events []msg.Event
		want   string
	}{
		{"good", key(1), []msg.Event{{Major: 1, Value: good}}, "ok"},
		{"first bad one of several", key(1), []msg.Event{{Major: 1, Value: good}, {ClientSeq: 7, Major: 1, Value: bad}, {ClientSeq: 8, Major: 1, Value: bad}}, refused("7")},
		{"encrypted", key(1), []msg.Event{{Major: 1, Value: bad, IV: msg.Some(msg.IV{})}}, "ok"},
		{"another minor type", key(1), []msg.Event{{Major: 1, Minor: 1, Value: bad}}, "ok"},
		{"another major type", key(1), []msg.Event{{Major: 2, Value: bad}}, "ok"},
		{"another aggregate type", msg.Key{Org: id(1), Type: id(3)}, []msg.Event{{Major: 1, Value: bad}}, "ok"},
		{"another organisation", msg.Key{Org: id(2), Type: id(2)}, []msg.Event{{Major: 1, Value: bad}}, "ok"},
		{"nothing validates", key(1), []msg.Event{{Major: 5, Value: bad}}, "ok"},
	} {
		_, no := n.write(msg.AggregateWrite{Key: tt.key, Events: tt.events})
		expect(t, tt.name, onWire(no), tt.want)
	}
	_, no := n.write(msg.AggregateWrite{Key: key(1), Events: []msg.Event{{Major: 1, Value: bad}}, ExpectedVersion: msg.Some[uint64](99), DenyCreate: true})
	expect(t, "guard before schema", onWire(no), `2003 {"expected_version":99,"current_aggregate_version":5}`)
}

// A stored schema that does not compile here refuses events, it does not let
// them pass.
func TestStoredSchemaBroken(t *testing.T) {
	elsewhere := newNode(t, shard.Options{}) // validates nothing
	if _, no := elsewhere.RegisterSchema(&msg.RegisterSchemaRequest{Key: msg.SchemaKey{Org: id(1), Type: id(2), Major: 1}, Schema: "bad"}, 1); no != nil {
		t.Fatal(no)
	}
	n, _ := withSchemas(t, "no")
	if err := n.Apply(elsewhere.Records(0, 0)[0]); err != nil {
		t.Fatal(err)
	}
	_, no := n.write(msg.AggregateWrite{Key: key(1), Events: []msg.Event{{ClientSeq: 4, Major: 1}}})
	expect(t, "write", onWire(no), `2023 {"event_type_major":1,"event_type_minor":0,"client_seq":4,"compilation_error":"no"}`)
}

// Protocol section 14.1: how text is quoted in a message.
func TestQuoting(t *testing.T) {
	_, register := withSchemas(t, "a\"b\\c\nd\re\tf\x01g\x1fhé\xffi</>")
	expect(t, "message", register(msg.SchemaJSON, 1, "bad"),
		`2021 {"schema_type":0,"parse_error":"a\"b\\c\nd\re\tf\u0001g\u001fhé`+"\uFFFD"+`i</>"}`)
}
