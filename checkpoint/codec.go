package checkpoint

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/celeriant/celeriant-go/msg"
)

// recordFormat is the version of the JSON that this package keeps in records.
// Another meaning of a field is a new number; a new field that may be absent is
// not.
const recordFormat = 1

// encodeRecord returns the JSON of a record's value, with its format in front.
func encodeRecord(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		// The types of this package have nothing that JSON cannot hold.
		panic(fmt.Sprintf("checkpoint: encoding %T: %v", v, err))
	}
	return text
}

// decodeRecord reads a record's JSON: a [*VersionError] for one of a later
// release, a [*DamagedError] for anything else that encodeRecord would not
// write. Fields that it does not know are left alone.
func decodeRecord(r Record, into any) error {
	where := fmt.Sprintf("record %s", brief(r.Key))
	var head struct {
		Format uint64 `json:"format"`
	}
	err := json.Unmarshal(r.Value, &head)
	if err == nil && head.Format != recordFormat {
		return &VersionError{Where: where, Found: head.Format, Supported: recordFormat}
	}
	if err == nil {
		err = json.Unmarshal(r.Value, into)
	}
	if err != nil {
		return &DamagedError{Where: where, Offset: -1, Reason: err.Error()}
	}
	return nil
}

// keyText is a key in a record: three ids as people know them.
type keyText struct {
	Org       msg.ID `json:"org"`
	Type      msg.ID `json:"type"`
	Aggregate msg.ID `json:"aggregate"`
}

func textOf(k msg.Key) keyText { return keyText{k.Org, k.Type, k.Aggregate} }

func (t keyText) key() msg.Key { return msg.Key{Org: t.Org, Type: t.Type, Aggregate: t.Aggregate} }

// aggregateRecord is the key of a record about one aggregate: the prefix, the
// bucket in three hexadecimal digits, and the key's binary form. Lists are read
// by the buckets' first digit, page by page.
func aggregateRecord(prefix string, k msg.Key) string {
	return fmt.Sprintf("%s%03x/%s", prefix, Bucket(k), hex.EncodeToString(AppendKey(nil, k)))
}

// MaxErrorText is the longest error text that is stored, in bytes.
const MaxErrorText = 1024

// ErrorText returns the error's text as it is stored: at most 1,024 bytes of
// printable UTF-8. Line breaks become spaces, other characters that do not print
// are left out, and what is too long ends in an ellipsis.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	const ellipsis = "…"
	var b strings.Builder
	for _, r := range err.Error() {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case r == utf8.RuneError, !unicode.IsPrint(r) && !joins(r):
			continue
		}
		if b.Len()+utf8.RuneLen(r) > MaxErrorText-len(ellipsis) {
			return b.String() + ellipsis
		}
		b.WriteRune(r)
	}
	return b.String()
}
