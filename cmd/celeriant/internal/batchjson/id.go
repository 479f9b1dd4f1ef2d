package batchjson

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/celeriant/celeriant-go/msg"
)

// ParseID reads an id as people type it: UUID text, 32 hexadecimal digits, or
// a decimal number below 2⁶⁴.
func ParseID(text string) (msg.ID, error) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && len(text) < 32 {
		return msg.IDFromUint64(n), nil
	}
	id, err := msg.ParseID(text)
	if err != nil {
		return msg.ID{}, fmt.Errorf("%q is no id: want a UUID, 32 hexadecimal digits or a number below 2^64", text)
	}
	return id, nil
}

// lineID is an id in an event line: a string or a number.
type lineID msg.ID

// UnmarshalJSON reads what ParseID reads, in quotes or not.
func (id *lineID) UnmarshalJSON(text []byte) error {
	s := string(text)
	if len(text) > 0 && text[0] == '"' {
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
	}
	parsed, err := ParseID(s)
	*id = lineID(parsed)
	return err
}
