package shard

import (
	"strconv"
	"strings"

	"github.com/celeriant/celeriant-go/msg"
)

// Refusal is the shard's no to a request: the code and the compact JSON
// message of protocol section 14.3. Messages that quote a schema library may
// be longer than a frame holds; cutting them is the sender's business.
type Refusal struct {
	Code    msg.Code
	Message string
}

// Response makes the error response that echoes a request's correlation id.
func (r *Refusal) Response(correlation msg.Opt[msg.ID]) *msg.ErrorResponse {
	return &msg.ErrorResponse{
		Correlated: msg.Correlated{CorrelationID: correlation},
		Code:       r.Code,
		Message:    r.Message,
	}
}

// String returns code and message.
func (r *Refusal) String() string { return r.Code.String() + " " + r.Message }

// refuse makes a refusal without details.
func refuse(code msg.Code) *Refusal { return &Refusal{Code: code, Message: "{}"} }

// refusal makes a refusal with details.
func refusal(code msg.Code, fields ...field) *Refusal {
	text := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, '"')
		text = append(text, f.name...)
		text = append(text, '"', ':')
		if f.quoted {
			text = appendQuoted(text, f.text)
		} else {
			text = strconv.AppendUint(text, f.number, 10)
		}
	}
	return &Refusal{Code: code, Message: string(append(text, '}'))}
}

// field is one member of a refusal's message.
type field struct {
	name   string
	number uint64
	text   string
	quoted bool
}

func number(name string, n uint64) field   { return field{name: name, number: n} }
func text(name string, value string) field { return field{name: name, text: value, quoted: true} }

// appendQuoted appends a JSON string escaped as protocol section 14.1 says:
// quotes, backslashes and control characters only, the rest stays UTF-8.
func appendQuoted(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range []byte(strings.ToValidUTF8(s, "\uFFFD")) {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
