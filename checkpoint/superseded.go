package checkpoint

import (
	"errors"
	"fmt"
	"strings"
)

// ErrSuperseded: another version of the handler took the place of the subscription by
// a cut-over. A [*SupersededError] names it. ErrSuperseded matches [ErrFenced], too:
// no supervisor may open the subscription again.
var ErrSuperseded = errors.New("checkpoint: subscription superseded by another version")

// SupersededError is the [ErrSuperseded] of one subscription; it matches that and
// [ErrFenced] with errors.Is.
type SupersededError struct {
	Name string
	// By is the name of the subscription that took the place.
	By string
}

// Error names both subscriptions.
func (e *SupersededError) Error() string {
	return fmt.Sprintf("checkpoint: subscription %q is superseded by %q", e.Name, e.By)
}

// Is reports whether target is ErrSuperseded or ErrFenced.
func (e *SupersededError) Is(target error) bool {
	return target == ErrSuperseded || target == ErrFenced
}

// Supersession is what a superseded subscription has in place of its scope. Since a
// claim compares scopes, nobody can claim the subscription, releases that know nothing
// of this among them; since a claim of another scope ends every owner, one claim with
// it fences the whole subscription and all partitions at once.
type Supersession struct {
	// By is the subscription that takes the place.
	By string
	// Token tells one cut-over from another.
	Token Token
	// Scope is the scope before.
	Scope string
}

// supersededPrefix begins the scope text of a superseded subscription.
const supersededPrefix = "superseded "

type supersessionJSON struct {
	Format int    `json:"format"`
	By     string `json:"by"`
	Token  Token  `json:"token"`
	Scope  string `json:"scope"`
}

// ScopeText is the text that a store keeps as the scope.
func (s Supersession) ScopeText() string {
	return supersededPrefix + string(encodeRecord(supersessionJSON{recordFormat, s.By, s.Token, s.Scope}))
}

// ParseSupersession reads what ScopeText wrote; ok is false for the scope of a
// subscription that is not superseded. A text of a later release is a [*VersionError],
// a damaged one a [*DamagedError].
func ParseSupersession(name, scope string) (s Supersession, ok bool, err error) {
	value, ok := strings.CutPrefix(scope, supersededPrefix)
	if !ok {
		return Supersession{}, false, nil
	}
	var j supersessionJSON
	if err := decodeRecord(Record{Key: "scope of " + name, Value: []byte(value)}, &j); err != nil {
		return Supersession{}, false, err
	}
	return Supersession{By: j.By, Token: j.Token, Scope: j.Scope}, true, nil
}

// superseded returns the refusal of a claim or an owner, nil if the scope is none of a
// superseded subscription. One that does not read is refused, too.
func superseded(name, scope string) error {
	s, ok, err := ParseSupersession(name, scope)
	if err != nil {
		return err
	}
	if !ok {
		return nil
	}
	return &SupersededError{Name: name, By: s.By}
}
