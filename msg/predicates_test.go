package msg_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// verdict is an error that decides for what it wraps.
type verdict struct {
	ambiguous, safe, timeout bool
	cause                    error
}

func (v verdict) Error() string     { return "verdict" }
func (v verdict) Ambiguous() bool   { return v.ambiguous }
func (v verdict) SafeToRetry() bool { return v.safe }
func (v verdict) Timeout() bool     { return v.timeout }
func (v verdict) Unwrap() error     { return v.cause }

// convertible becomes a verdict through its As method only.
type convertible struct{ to verdict }

func (c convertible) Error() string { return "convertible" }
func (c convertible) As(target any) bool {
	switch to := target.(type) {
	case *interface{ Ambiguous() bool }:
		*to = c.to
	case *interface{ SafeToRetry() bool }:
		*to = c.to
	default:
		return false
	}
	return true
}

type joined []error

func (j joined) Error() string   { return "joined" }
func (j joined) Unwrap() []error { return j }

func TestPredicates(t *testing.T) {
	unknown := fmt.Errorf("a: %w", &msg.ServerError{Code: msg.CodeWriteReplication})
	elsewhere := fmt.Errorf("b: %w", &msg.ServerError{Code: msg.CodeWriteNotLeader})
	conflict := fmt.Errorf("c: %w", &msg.ServerError{Code: msg.CodeVersionConflict})
	silent := errors.New("says nothing")
	for name, c := range map[string]struct {
		err                      error
		ambiguous, safe, timeout bool
	}{
		"nil":                        {nil, false, false, false},
		"no opinion":                 {silent, false, false, false},
		"ambiguous":                  {unknown, true, false, false},
		"safe":                       {elsewhere, false, true, false},
		"neither":                    {conflict, false, false, false},
		"deadline":                   {context.DeadlineExceeded, false, false, true},
		"safe, then ambiguous":       {errors.Join(elsewhere, unknown), true, false, false},
		"ambiguous, then safe":       {errors.Join(unknown, elsewhere), true, false, false},
		"conflict, then ambiguous":   {errors.Join(conflict, unknown), true, false, false},
		"safe twice":                 {errors.Join(elsewhere, elsewhere), false, true, false},
		"safe, then conflict":        {errors.Join(elsewhere, conflict), false, false, false},
		"safe, then no opinion":      {errors.Join(elsewhere, silent), false, false, false},
		"no opinion, then ambiguous": {fmt.Errorf("%w: %w", silent, unknown), true, false, false},
		"deep in a second branch":    {errors.Join(silent, fmt.Errorf("x: %w", errors.Join(conflict, unknown))), true, false, false},
		"timeout in a second branch": {errors.Join(conflict, fmt.Errorf("x: %w", context.DeadlineExceeded)), false, false, true},
		"outer knows more":           {verdict{safe: true, cause: unknown}, false, true, false},
		"outer says no":              {verdict{cause: errors.Join(unknown, context.DeadlineExceeded)}, false, false, false},
		"outer of one branch":        {errors.Join(verdict{safe: true, cause: unknown}, unknown), true, false, false},
		"through As":                 {errors.Join(elsewhere, convertible{verdict{ambiguous: true}}), true, false, false},
		"through As, safe":           {errors.Join(elsewhere, convertible{verdict{safe: true}}), false, true, false},
		"joined of nothing":          {joined{}, false, false, false},
		"joined of nil and safe":     {joined{nil, elsewhere, nil}, false, true, false},
		"joined of nil":              {joined{nil}, false, false, false},
	} {
		if a, s, e := msg.Ambiguous(c.err), msg.SafeToRetry(c.err), msg.Timeout(c.err); a != c.ambiguous || s != c.safe || e != c.timeout {
			t.Errorf("%s: ambiguous %v, safe %v, timeout %v", name, a, s, e)
		}
	}
}
