package celeriant

import (
	"context"
	"errors"

	"github.com/celeriant/celeriant-go/stream"
)

// Ended reports whether a consumer ended because it was asked to: err, what All, Run,
// Next or a function of package operators returned, is that of ctx, which has ended, or
// of a subscription or client that was closed. Anything else is a failure to report.
// A nil err is no failure either.
//
//	if err := orders.Run(ctx, handle); !celeriant.Ended(ctx, err) {
//		return err
//	}
func Ended(ctx context.Context, err error) bool {
	switch {
	case err == nil, errors.Is(err, stream.ErrClosed), errors.Is(err, ErrClosed):
		return true
	}
	return ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err()))
}
