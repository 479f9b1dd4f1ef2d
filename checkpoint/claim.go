package checkpoint

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxName is the longest subscription name, in bytes.
	MaxName = 255
	// MaxScope is the longest scope, in bytes.
	MaxScope = 1 << 20
)

// CheckName returns a [*NameError] unless name is 1 to 255 bytes of printable
// UTF-8 (letters, marks, numbers, punctuation, symbols and the ASCII space).
// Names are compared byte by byte: nothing is normalised.
func CheckName(name string) error {
	switch {
	case name == "":
		return &NameError{Name: name, Reason: "empty"}
	case len(name) > MaxName:
		return &NameError{Name: name, Reason: fmt.Sprintf("%d bytes, the limit is %d", len(name), MaxName)}
	case !utf8.ValidString(name):
		return &NameError{Name: name, Reason: "not valid UTF-8"}
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return &NameError{Name: name, Reason: fmt.Sprintf("%U is not printable", r)}
		}
	}
	return nil
}

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
