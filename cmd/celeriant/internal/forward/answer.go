package forward

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/celeriant/celeriant-go/operators"
)

// RefusedError is an answer that trying again cannot change: the service refuses this
// event.
type RefusedError struct {
	Status int
	// Text is the beginning of the answer's body, made printable.
	Text string
}

// Error names the status and what the service said.
func (e *RefusedError) Error() string {
	return describe("the service refused the event", e.Status, e.Text)
}

// UnavailableError is an answer after which the same request may succeed later.
type UnavailableError struct {
	Status int
	Text   string
	// After is how long the service asked to be left alone, 0 if it did not.
	After time.Duration
}

// Error names the status and what the service said.
func (e *UnavailableError) Error() string {
	return describe("the service is not able to take the event", e.Status, e.Text)
}

// RetryAfter is how long the service asked to be left alone.
func (e *UnavailableError) RetryAfter() time.Duration { return e.After }

func describe(what string, status int, text string) string {
	s := fmt.Sprintf("%s: %d %s", what, status, http.StatusText(status))
	if text != "" {
		s += ": " + text
	}
	return s
}

// mostRetryAfter bounds what a service may ask for, so that a slip of its clock does not
// silence an aggregate for days.
const mostRetryAfter = time.Hour

// judge says what an answer means for the event: nil when it is handled. A redirect is
// tried again: nothing was handled, and the address of the service is probably wrong, which is
// no fault of the event.
func judge(status int, header http.Header, text string, now time.Time) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status < 400, status >= 500,
		status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return &UnavailableError{Status: status, Text: text, After: retryAfter(header.Get("Retry-After"), now)}
	}
	return &RefusedError{Status: status, Text: text}
}

// retryAfter reads the header's two forms, seconds and a date.
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	var after time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		after = at.Sub(now)
	}
	return min(max(0, after), mostRetryAfter)
}

// Verdict is the classifier of a forwarding consumer: refused events park their aggregate,
// everything else is tried again without an end, visibly.
func Verdict(f operators.Failure) operators.Verdict {
	var refused *RefusedError
	if errors.As(f.Err, &refused) {
		return operators.Park
	}
	return operators.Retry
}

// printable makes the beginning of a body fit for an error: one line, no control characters.
func printable(body []byte, longest int) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(string(body), "\uFFFD") {
		if b.Len() >= longest {
			b.WriteString("…")
			break
		}
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r):
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}
