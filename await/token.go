package await

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/celeriant/celeriant-go/msg"
)

// Token names versions to wait for; as a text it fits a header. The zero Token
// waits for nothing.
type Token []Point

// Point is a version of one aggregate.
type Point struct {
	Key     msg.Key
	Version uint64
}

const (
	// MaxPoints is the most versions in a token.
	MaxPoints = 64
	// maxToken is the longest text of a token, in bytes.
	maxToken = 16 << 10
)

// String returns "org/type/aggregate@version", several separated by commas.
func (t Token) String() string {
	var b strings.Builder
	for i, p := range t {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%v@%d", p.Key, p.Version)
	}
	return b.String()
}

// MarshalText returns the text of String.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Token) UnmarshalText(text []byte) error {
	parsed, err := ParseToken(string(text))
	if err == nil {
		*t = parsed
	}
	return err
}

// TokenError is a text that is no token.
type TokenError struct {
	// Text is the part that was not understood, cut to 64 bytes.
	Text   string
	Reason string
}

// Error names the text and the reason.
func (e *TokenError) Error() string { return fmt.Sprintf("await: token %q: %s", e.Text, e.Reason) }

// ParseToken reads the text of a token. The text may come from anybody: what is no
// token is refused with a [*TokenError].
func ParseToken(text string) (Token, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxToken {
		return nil, refused(text, fmt.Sprintf("%d bytes, the limit is %d", len(text), maxToken))
	}
	parts := strings.Split(text, ",")
	if len(parts) > MaxPoints {
		return nil, refused(text, fmt.Sprintf("%d versions, the limit is %d", len(parts), MaxPoints))
	}
	t := make(Token, 0, len(parts))
	for _, part := range parts {
		p, err := parsePoint(part)
		if err != nil {
			return nil, err
		}
		t = append(t, p)
	}
	return t, nil
}

func parsePoint(text string) (p Point, err error) {
	key, version, ok := strings.Cut(text, "@")
	ids := strings.Split(key, "/")
	if !ok || len(ids) != 3 {
		return p, refused(text, "want org/type/aggregate@version")
	}
	for i, into := range []*msg.ID{&p.Key.Org, &p.Key.Type, &p.Key.Aggregate} {
		if *into, err = msg.ParseID(ids[i]); err != nil {
			return p, refused(text, err.Error())
		}
	}
	if p.Version, err = strconv.ParseUint(version, 10, 63); err != nil {
		return p, refused(text, "the version is no number below 2⁶³")
	}
	return p, nil
}

func refused(text, reason string) error {
	return &TokenError{Text: text[:min(len(text), 64)], Reason: reason}
}
