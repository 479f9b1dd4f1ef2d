package checkpoint

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Claim asks for the ownership of a subscription.
type Claim struct {
	// Name is the subscription's: 1 to 255 bytes of printable UTF-8.
	Name string
	// Scope is the canonical text of what is subscribed: at most 1 MiB of UTF-8
	// without NUL. The scope is remembered with the first claim. A later claim
	// with another scope is refused, since its cursors would tell nothing about
	// the aggregates that are new in it.
	Scope string
	// Adopt replaces the stored scope by Scope and keeps the cursors.
	Adopt bool
	// Replaces are stored scopes that Scope may replace, as if by Adopt; every
	// other one is still refused.
	Replaces []string
}

func (c *Claim) replaces(stored string) bool { return slices.Contains(c.Replaces, stored) }

const (
	// MaxName is the longest subscription name, in bytes.
	MaxName = 255
	// MaxScope is the longest scope, in bytes.
	MaxScope = 1 << 20
)

// CheckName returns a [*NameError] unless name is 1 to 255 bytes of printable
// UTF-8: letters, marks, numbers, punctuation, symbols, the ASCII space, and the
// invisible characters that scripts and emoji are written with (the joiners
// U+200C and U+200D, and the tags U+E0020 to U+E007F). Names are compared byte
// by byte: nothing is normalised.
func CheckName(name string) error {
	if reason := unprintable(name, MaxName); reason != "" {
		return &NameError{Name: name, Reason: reason}
	}
	return nil
}

// unprintable says why text is not 1 to limit bytes of printable UTF-8; "" if it
// is.
func unprintable(text string, limit int) (reason string) {
	switch {
	case text == "":
		return "empty"
	case len(text) > limit:
		return fmt.Sprintf("%d bytes, the limit is %d", len(text), limit)
	case !utf8.ValidString(text):
		return "not valid UTF-8"
	}
	for _, r := range text {
		if !unicode.IsPrint(r) && !joins(r) {
			return fmt.Sprintf("%U is not printable", r)
		}
	}
	return ""
}

// joins tells format characters without which some words and emoji cannot be
// written.
func joins(r rune) bool { return r == 0x200C || r == 0x200D || r >= 0xE0020 && r <= 0xE007F }

// Check returns a [*NameError] or a [*ScopeTextError] if the claim cannot be
// stored.
func (c Claim) Check() error {
	if err := CheckName(c.Name); err != nil {
		return err
	}
	switch {
	case len(c.Scope) > MaxScope:
		return &ScopeTextError{Name: c.Name, Reason: fmt.Sprintf("%d bytes, the limit is %d", len(c.Scope), MaxScope)}
	case !utf8.ValidString(c.Scope):
		return &ScopeTextError{Name: c.Name, Reason: "not valid UTF-8"}
	case strings.ContainsRune(c.Scope, 0):
		return &ScopeTextError{Name: c.Name, Reason: "contains NUL"}
	}
	return nil
}
