package batchjson_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

var (
	key  = msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	full = msg.Batch{
		Version: 7, ClientID: msg.IDFromUint64(4), UserID: msg.Some(msg.ID{}), ServerTimestamp: math.MaxUint64,
		Events: []msg.Event{
			{EventSeq: 9, ClientSeq: 8, EventID: msg.Some(msg.IDFromUint64(5)), Timestamp: 6, Major: 1, Minor: 2,
				IV: msg.Some(msg.IV{1, 2, 3}), Value: []byte{0xff, 0x00}},
			{EventSeq: 10, Major: 1},
		},
	}
)

func TestBatchForm(t *testing.T) {
	const want = `{"org":"00000000-0000-0000-0000-000000000001","type":"00000000-0000-0000-0000-000000000002",` +
		`"aggregate":"00000000-0000-0000-0000-000000000003","version":7,"server_timestamp":18446744073709551615,` +
		`"client_id":"00000000-0000-0000-0000-000000000004","user_id":"00000000-0000-0000-0000-000000000000","events":[` +
		`{"event_seq":9,"client_seq":8,"event_id":"00000000-0000-0000-0000-000000000005","timestamp":6,"major":1,"minor":2,"iv":"AQIDAAAAAAAAAAAA","value":"/wA="},` +
		`{"event_seq":10,"client_seq":0,"timestamp":0,"major":1,"minor":0,"value":""}]}`
	got := string(batchjson.AppendBatch(nil, key, &full))
	if got != want {
		t.Errorf("batch:\n%s\nwant\n%s", got, want)
	}
	if !json.Valid([]byte(got)) {
		t.Error("not valid JSON")
	}
	anonymous := full
	anonymous.UserID = msg.None[msg.ID]()
	if got := string(batchjson.AppendBatch(nil, key, &anonymous)); strings.Contains(got, "user_id") {
		t.Errorf("an absent user is printed: %s", got)
	}
}

func TestChangeForm(t *testing.T) {
	const aggregate = `"org":"00000000-0000-0000-0000-000000000001","type":"00000000-0000-0000-0000-000000000002",` +
		`"aggregate":"00000000-0000-0000-0000-000000000003"`
	batch := string(batchjson.AppendBatch(nil, key, &full))
	for want, c := range map[string]stream.Change{
		`{"kind":"batch",` + batch[1:]:                            {Kind: stream.Batch, Key: key, Batch: full},
		`{"kind":"deleted",` + aggregate + `}`:                    {Kind: stream.Deleted, Key: key},
		`{"kind":"reset",` + aggregate + `}`:                      {Kind: stream.Reset, Key: key},
		`{"kind":"truncated",` + aggregate + `,"from":1,"to":18}`: {Kind: stream.Truncated, Key: key, From: 1, To: 18},
		`{"kind":"unreadable",` + aggregate + `,"version":5}`:     {Kind: stream.Unreadable, Key: key, Version: 5},
		`{"kind":"caught_up"}`:                                    {Kind: stream.CaughtUp},
	} {
		if got := string(batchjson.AppendChange(nil, &c)); got != want || !json.Valid([]byte(got)) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestBatchesCostNoAllocations(t *testing.T) {
	buffer := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buffer = batchjson.AppendBatch(buffer[:0], key, &full) }); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}

func TestLine(t *testing.T) {
	some := msg.Some[uint64]
	for text, want := range map[string]batchjson.Line{
		`{"value":"/wA="}`:                         {Value: []byte{0xff, 0}},
		`{"value":""}`:                             {Value: []byte{}},
		`{"text":"a\u00e4"}`:                       {Value: []byte("aä")},
		`{"json": {"b":1, "a":[null]}}`:            {Value: []byte(`{"b":1, "a":[null]}`)},
		`{"json":null}`:                            {Value: []byte("null")},
		`{"text":"","event_seq":5,"client_seq":0}`: {Value: []byte{}, ClientSeq: some(0)},
		`{"text":"x","org":1,"type":"2","aggregate":"00000000-0000-0000-0000-000000000003","client_seq":18446744073709551615,"event_id":4,"timestamp":5,"major":6,"minor":7,"iv":"AQIDAAAAAAAAAAAA"}`: {
			Org: msg.Some(key.Org), Type: msg.Some(key.Type), Aggregate: msg.Some(key.Aggregate), ClientSeq: some(math.MaxUint64),
			EventID: msg.Some(msg.IDFromUint64(4)), Timestamp: some(5), Major: some(6), Minor: some(7), IV: msg.Some(msg.IV{1, 2, 3}), Value: []byte("x"),
		},
	} {
		got, err := batchjson.ParseLine([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestLineRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                           "0 of the fields value, text and json",
		`{"text":"a","value":""}`:      "2 of the fields",
		`{"text":"a"} {}`:              "more than one JSON value",
		`{"text":"a","colour":1}`:      "colour",
		`{"value":"?"}`:                "field value",
		`{"text":"a","iv":"AQID"}`:     "field iv has 3 bytes, want 12",
		`{"text":"a","iv":"?"}`:        "field iv",
		`{"text":"a","org":"x"}`:       `"x" is no id`,
		`{"text":"a","org":-1}`:        `"-1" is no id`,
		`{"text":"a","client_seq":-1}`: "client_seq",
		`{"text":"a","major":"1"}`:     "major",
		`{"text":"a"`:                  "the line ends before its JSON object does",
		`[]`:                           "the line is an array, want a JSON object",
		`"a"`:                          "the line is a text, want a JSON object",
		`null`:                         "the line is null, want a JSON object",
		``:                             "the line ends before its JSON object does",
		`{"text":"a",}`:                "the line is no JSON: ",
		`{text:"a"}`:                   "the line is no JSON: ",
		`{"text":"a","text":"b"}`:      "field text stands twice",
		`{"Text":"a"}`:                 `there is no field "Text"; did you mean text?`,
		`{"text":"a","clientSeq":1}`:   `there is no field "clientSeq"; did you mean client_seq?`,
		`{"text":"a","colour":"red"}`:  `there is no field "colour"; the fields are org, type, `,
		`{"text":1}`:                   "field text is a number, want a text",
		`{"text":"a","minor":"1"}`:     "field minor is a text, want a whole number from 0 to 18446744073709551615",
		`{"text":"a","minor":1.5}`:     "field minor is 1.5, want a whole number from 0 to 18446744073709551615",
		`{"text":"a","minor":{}}`:      "field minor is an object, want a whole number",
		"{\"text\":\"\xff\"}":          "the line is not valid UTF-8",
		"\xef\xbb\xbf{\"text\":1}":     "the line is no JSON: ", // a mark that is not at the beginning of a file
	} {
		if _, err := batchjson.ParseLine([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", text, err, want)
		}
	}
}

func TestParseID(t *testing.T) {
	hex := "00000000000000000000000000000010"
	for text, want := range map[string]msg.ID{
		"0": {}, "12": msg.IDFromUint64(12), "18446744073709551615": msg.IDFromUint64(math.MaxUint64),
		hex: msg.IDFromUint64(16), "00000000-0000-0000-0000-000000000010": msg.IDFromUint64(16),
	} {
		if got, err := batchjson.ParseID(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "18446744073709551616", "abc", hex + "0"} {
		if got, err := batchjson.ParseID(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}
