package forward

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// appendEvent appends event i of a batch as one JSON object. A payload that is JSON in valid
// UTF-8 goes in as it is, to the byte; any other as value_base64.
func appendEvent(b []byte, c *stream.Change, i int) []byte {
	e := &c.Batch.Events[i]
	b = append(b, `{"id":"`...)
	b = append(b, c.EventID(i).String()...)
	b = append(b, '"')
	b = appendKey(b, c.Key)
	b = appendNumber(b, "version", c.Batch.Version)
	b = appendNumber(b, "index", uint64(i))
	b = appendNumber(b, "major", e.Major)
	b = appendNumber(b, "minor", e.Minor)
	if id, ok := e.EventID.Get(); ok {
		b = append(b, `,"event_id":"`...)
		b = append(b, id.String()...)
		b = append(b, '"')
	}
	b = appendNumber(b, "timestamp", e.Timestamp)
	if len(e.Value) > 0 && utf8.Valid(e.Value) && json.Valid(e.Value) {
		b = append(b, `,"value":`...)
		b = append(b, e.Value...)
	} else {
		b = append(b, `,"value_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, e.Value)
		b = append(b, '"')
	}
	return append(b, '}')
}

// appendBatch appends all events of a batch as a JSON array.
func appendBatch(b []byte, c *stream.Change) []byte {
	b = append(b, '[')
	for i := range c.Batch.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEvent(b, c, i)
	}
	return append(b, ']')
}

func appendKey(b []byte, key msg.Key) []byte {
	for _, part := range []struct {
		name string
		id   msg.ID
	}{{"org", key.Org}, {"type", key.Type}, {"aggregate", key.Aggregate}} {
		b = append(b, `,"`...)
		b = append(b, part.name...)
		b = append(b, `":"`...)
		b = append(b, part.id.String()...)
		b = append(b, '"')
	}
	return b
}

func appendNumber(b []byte, name string, n uint64) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return strconv.AppendUint(b, n, 10)
}
