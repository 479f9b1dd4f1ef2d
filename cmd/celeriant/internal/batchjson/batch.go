package batchjson

import (
	"encoding/base64"
	"strconv"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// AppendBatch appends the batch of an aggregate as one JSON object on one
// line, without the line's end. AppendBatch allocates nothing but room in dst.
func AppendBatch(dst []byte, key msg.Key, batch *msg.Batch) []byte {
	return appendBatch(append(dst, '{'), key, batch)
}

// AppendChange appends one change as one JSON object on one line, without the
// line's end: its kind and, as far as it has them, the aggregate, the batch in
// the form of AppendBatch, the version of a batch that cannot be read, and the
// first and last version of what was trimmed.
func AppendChange(dst []byte, c *stream.Change) []byte {
	dst = append(append(append(dst, `{"kind":"`...), c.Kind.String()...), '"')
	switch c.Kind {
	case stream.CaughtUp:
		return append(dst, '}')
	case stream.Batch:
		return appendBatch(append(dst, ','), c.Key, &c.Batch)
	}
	dst = appendKey(append(dst, ','), c.Key)
	switch c.Kind {
	case stream.Truncated:
		dst = appendNumber(dst, `,"from":`, c.From)
		dst = appendNumber(dst, `,"to":`, c.To)
	case stream.Unreadable:
		dst = appendNumber(dst, `,"version":`, c.Version)
	}
	return append(dst, '}')
}

// appendBatch appends the fields of a batch and closes the object.
func appendBatch(dst []byte, key msg.Key, batch *msg.Batch) []byte {
	dst = appendKey(dst, key)
	dst = appendNumber(dst, `,"version":`, batch.Version)
	dst = appendNumber(dst, `,"server_timestamp":`, batch.ServerTimestamp)
	dst = appendID(dst, `,"client_id":`, batch.ClientID)
	if batch.UserID.Set {
		dst = appendID(dst, `,"user_id":`, batch.UserID.Value)
	}
	dst = append(dst, `,"events":[`...)
	for i := range batch.Events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendEvent(dst, &batch.Events[i])
	}
	return append(dst, "]}"...)
}

func appendEvent(dst []byte, e *msg.Event) []byte {
	dst = appendNumber(append(dst, '{'), `"event_seq":`, e.EventSeq)
	dst = appendNumber(dst, `,"client_seq":`, e.ClientSeq)
	if e.EventID.Set {
		dst = appendID(dst, `,"event_id":`, e.EventID.Value)
	}
	dst = appendNumber(dst, `,"timestamp":`, e.Timestamp)
	dst = appendNumber(dst, `,"major":`, e.Major)
	dst = appendNumber(dst, `,"minor":`, e.Minor)
	if e.IV.Set {
		dst = appendBytes(dst, `,"iv":`, e.IV.Value[:])
	}
	return append(appendBytes(dst, `,"value":`, e.Value), '}')
}

func appendKey(dst []byte, key msg.Key) []byte {
	dst = appendID(dst, `"org":`, key.Org)
	dst = appendID(dst, `,"type":`, key.Type)
	return appendID(dst, `,"aggregate":`, key.Aggregate)
}

func appendNumber(dst []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(dst, name...), n, 10)
}

func appendID(dst []byte, name string, id msg.ID) []byte {
	dst = append(append(dst, name...), '"')
	dst, _ = id.AppendText(dst) // the error is always nil
	return append(dst, '"')
}

func appendBytes(dst []byte, name string, b []byte) []byte {
	dst = append(append(dst, name...), '"')
	return append(base64.StdEncoding.AppendEncode(dst, b), '"')
}
