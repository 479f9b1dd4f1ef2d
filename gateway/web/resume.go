package web

import (
	"encoding/base64"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// none stands for the position of an aggregate that was never seen.
const none = "-"

// eventID is the id of a server-sent event: the positions of all aggregates of a
// watch, in the order of their keys. An id with the position of one aggregate only
// would make the others begin anew, or pass over what they missed.
func eventID(keys []msg.Key, at map[msg.Key]checkpoint.Cursor) string {
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = none
		if c := at[key]; !c.IsZero() {
			b, _ := c.MarshalBinary() // never fails
			texts[i] = base64.RawURLEncoding.EncodeToString(b)
		}
	}
	return strings.Join(texts, ",")
}

// positions reads an id. A text that is not whole and valid is no id at all: the watch then
// begins with a restart.
func positions(keys []msg.Key, id string) (map[msg.Key]checkpoint.Cursor, bool) {
	texts := strings.Split(id, ",")
	if id == "" || len(texts) != len(keys) {
		return nil, false
	}
	at := make(map[msg.Key]checkpoint.Cursor, len(keys))
	for i, text := range texts {
		if text == none {
			continue
		}
		b, err := base64.RawURLEncoding.DecodeString(text)
		var c checkpoint.Cursor
		if err != nil || c.UnmarshalBinary(b) != nil || c.IsZero() || c.Life >= 1<<63 || c.Version >= 1<<63 {
			return nil, false
		}
		at[keys[i]] = c
	}
	return at, true
}
