package batchjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/celeriant/celeriant-go/msg"
)

// Line is one event to write. A field that the line leaves out is absent.
type Line struct {
	Org, Type, Aggregate msg.Opt[msg.ID]
	ClientSeq, Timestamp msg.Opt[uint64]
	Major, Minor         msg.Opt[uint64]
	EventID              msg.Opt[msg.ID]
	IV                   msg.Opt[msg.IV]
	Value                []byte
}

// lineForm is a Line as encoding/json sees it.
type lineForm struct {
	Org       *lineID         `json:"org"`
	Type      *lineID         `json:"type"`
	Aggregate *lineID         `json:"aggregate"`
	EventSeq  *uint64         `json:"event_seq"` // the node assigns it: read and dropped, so that events read can be written
	ClientSeq *uint64         `json:"client_seq"`
	EventID   *lineID         `json:"event_id"`
	Timestamp *uint64         `json:"timestamp"`
	Major     *uint64         `json:"major"`
	Minor     *uint64         `json:"minor"`
	IV        *string         `json:"iv"`
	Value     *string         `json:"value"`
	Text      *string         `json:"text"`
	JSON      json.RawMessage `json:"json"`
}

// ParseLine reads one event line: a JSON object with org, type, aggregate,
// client_seq, event_id, timestamp, major, minor and iv, all optional, and
// exactly one of value (base64), text and json. Other fields, fields that stand twice and
// text that is not UTF-8 are refused; the names of fields are compared exactly.
func ParseLine(text []byte) (Line, error) {
	if err := checkNames(text); err != nil {
		return Line{}, err
	}
	var form lineForm
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&form); err != nil {
		return Line{}, wrongType(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Line{}, errors.New("more than one JSON value on the line")
	}
	line := Line{
		Org: id(form.Org), Type: id(form.Type), Aggregate: id(form.Aggregate), EventID: id(form.EventID),
		ClientSeq: opt(form.ClientSeq), Timestamp: opt(form.Timestamp), Major: opt(form.Major), Minor: opt(form.Minor),
	}
	var err error
	if line.Value, err = form.payload(); err != nil {
		return Line{}, err
	}
	line.IV, err = form.nonce()
	return line, err
}

// payload returns the one of the three forms that is there.
func (f *lineForm) payload() ([]byte, error) {
	given := 0
	for _, is := range []bool{f.Value != nil, f.Text != nil, f.JSON != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, fmt.Errorf("%d of the fields value, text and json are set, want one", given)
	case f.Text != nil:
		return []byte(*f.Text), nil
	case f.JSON != nil:
		return f.JSON, nil
	}
	value, err := base64.StdEncoding.DecodeString(*f.Value)
	if err != nil {
		return nil, fmt.Errorf("field value: %w", err)
	}
	return value, nil
}

func (f *lineForm) nonce() (msg.Opt[msg.IV], error) {
	if f.IV == nil {
		return msg.None[msg.IV](), nil
	}
	b, err := base64.StdEncoding.DecodeString(*f.IV)
	if err != nil {
		return msg.None[msg.IV](), fmt.Errorf("field iv: %w", err)
	}
	if len(b) != len(msg.IV{}) {
		return msg.None[msg.IV](), fmt.Errorf("field iv has %d bytes, want %d", len(b), len(msg.IV{}))
	}
	return msg.Some(msg.IV(b)), nil
}

func id(v *lineID) msg.Opt[msg.ID] {
	if v == nil {
		return msg.None[msg.ID]()
	}
	return msg.Some(msg.ID(*v))
}

func opt[T any](v *T) msg.Opt[T] {
	if v == nil {
		return msg.None[T]()
	}
	return msg.Some(*v)
}
