package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/celeriant/celeriant-go/msg"
)

// batchForm is a batch in JSON. Numbers of 64 bits are strings, since JavaScript
// has no such numbers.
type batchForm struct {
	Version         string      `json:"version"`
	ClientID        msg.ID      `json:"client_id"`
	UserID          *msg.ID     `json:"user_id,omitempty"`
	ServerTimestamp string      `json:"server_timestamp"`
	Events          []eventForm `json:"events"`
}

type eventForm struct {
	EventSeq  string  `json:"event_seq"`
	ClientSeq string  `json:"client_seq"`
	EventID   *msg.ID `json:"event_id,omitempty"`
	Timestamp string  `json:"timestamp"`
	Major     string  `json:"major"`
	Minor     string  `json:"minor"`
	// One of the two: JSON as it was written, if that was asked for and it is
	// valid; base64 otherwise.
	JSON   json.RawMessage `json:"json,omitempty"`
	Base64 *string         `json:"base64,omitempty"`
	// NotJSON says that JSON was asked for and the payload is none.
	NotJSON bool   `json:"not_json,omitempty"`
	IV      []byte `json:"iv,omitempty"`
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func optionalID(id msg.Opt[msg.ID]) *msg.ID {
	if !id.Set {
		return nil
	}
	return &id.Value
}

// formOf renders a batch; asJSON shows payloads as JSON.
func formOf(b *msg.Batch, asJSON bool) batchForm {
	form := batchForm{
		Version: number(b.Version), ClientID: b.ClientID, UserID: optionalID(b.UserID),
		ServerTimestamp: number(b.ServerTimestamp), Events: make([]eventForm, len(b.Events)),
	}
	for i := range b.Events {
		e := &b.Events[i]
		f := eventForm{
			EventSeq: number(e.EventSeq), ClientSeq: number(e.ClientSeq), EventID: optionalID(e.EventID),
			Timestamp: number(e.Timestamp), Major: number(e.Major), Minor: number(e.Minor),
		}
		if e.IV.Set {
			f.IV = e.IV.Value[:]
		}
		if asJSON && !e.IV.Set && json.Valid(e.Value) {
			f.JSON = json.RawMessage(e.Value)
		} else {
			text := base64.StdEncoding.EncodeToString(e.Value)
			f.Base64, f.NotJSON = &text, asJSON
		}
		form.Events[i] = f
	}
	return form
}

// encode renders one line without a line break.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(append(body, '\n'))
	return err
}
