package batchjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// byteOrderMark may stand before the first line of a file; editors write it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// TrimByteOrderMark removes the mark from the beginning of a file's first line.
func TrimByteOrderMark(line []byte) []byte { return bytes.TrimPrefix(line, byteOrderMark) }

// lineFields are the names that a line may have, in the order in which errors list them.
var lineFields = []string{
	"org", "type", "aggregate", "client_seq", "event_id", "timestamp", "major", "minor", "iv", "value", "text", "json", "event_seq",
}

// fieldKinds says what each field must be, in the words of an error.
var fieldKinds = map[string]string{
	"org": "an id", "type": "an id", "aggregate": "an id", "event_id": "an id",
	"client_seq": wholeNumber, "event_seq": wholeNumber, "timestamp": wholeNumber, "major": wholeNumber, "minor": wholeNumber,
	"iv": "a text in base64", "value": "a text in base64", "text": "a text",
}

const wholeNumber = "a whole number from 0 to 18446744073709551615"

// checkNames refuses what encoding/json would let pass and a writer cannot have meant: text that is
// not UTF-8, a field that stands twice, and one whose name differs in case or is none.
func checkNames(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("the line is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	first, err := d.Token()
	if err != nil {
		return notJSON(err)
	}
	if first != json.Delim('{') {
		return fmt.Errorf("the line is %s, want a JSON object", kindOf(first))
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return notJSON(err)
		}
		name := token.(string) // the decoder takes nothing else for a name
		switch {
		case seen[name]:
			return fmt.Errorf("field %s stands twice", name)
		case !known(name):
			return unknownField(name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return notJSON(err)
		}
	}
	return nil
}

func known(name string) bool {
	for _, field := range lineFields {
		if field == name {
			return true
		}
	}
	return false
}

// unknownField names the field that was probably meant, or all there are.
func unknownField(name string) error {
	plain := strings.ToLower(strings.NewReplacer("-", "_", " ", "_").Replace(name))
	for _, field := range lineFields {
		if plain == field || plain == strings.ReplaceAll(field, "_", "") {
			return fmt.Errorf("there is no field %q; did you mean %s?", name, field)
		}
	}
	return fmt.Errorf("there is no field %q; the fields are %s", name, strings.Join(lineFields, ", "))
}

// notJSON says in the writer's words why a line is no JSON.
func notJSON(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the line ends before its JSON object does")
	case errors.As(err, &syntax):
		return fmt.Errorf("the line is no JSON: %s at byte %d", syntax.Error(), syntax.Offset)
	}
	return err
}

// wrongType says in the writer's words which field has a value of the wrong type.
func wrongType(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return notJSON(err)
	}
	value, exact := strings.CutPrefix(wrong.Value, "number ")
	switch {
	case exact:
	case wrong.Value == "string":
		value = "a text"
	case wrong.Value == "bool":
		value = "true or false"
	case wrong.Value == "object", wrong.Value == "array":
		value = "an " + wrong.Value
	default:
		value = "a " + wrong.Value
	}
	return fmt.Errorf("field %s is %s, want %s", wrong.Field, value, fieldKinds[wrong.Field])
}

func kindOf(t json.Token) string {
	switch t.(type) {
	case json.Delim:
		return "an array"
	case string:
		return "a text"
	case float64, json.Number:
		return "a number"
	case bool:
		return "true or false"
	}
	return "null"
}
