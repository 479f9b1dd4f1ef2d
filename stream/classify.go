package stream

import (
	"errors"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// classify says what the engine should do about a failed request. Only what can
// never succeed is permanent: refused credentials, a closed pool, and requests
// the node calls wrong. Everything else is tried again.
func classify(err error) engine.Failure {
	f := engine.Failure{Kind: engine.Unavailable, Err: err}
	var refusal *msg.ServerError
	var request *pool.Error
	switch {
	case errors.Is(err, engine.ErrDeposed), errors.Is(err, engine.ErrLeadershipUnknown):
		f.Kind = engine.Deposed
	case errors.As(err, &refusal):
		classifyRefusal(refusal, &f)
	case errors.Is(err, pool.ErrClosed), errors.Is(err, pool.ErrInvalid), errors.Is(err, pool.ErrTooLarge):
		f.Kind = engine.Permanent
	case errors.Is(err, pool.ErrResponseTooLarge):
		f.Kind = engine.TooLarge
	case errors.As(err, &request) && request.Sent && errors.Is(err, pool.ErrRequestTimeout):
		f.Kind = engine.Silent
	}
	return f
}

func classifyRefusal(refusal *msg.ServerError, f *engine.Failure) {
	f.Kind = engine.Refused
	switch refusal.Code {
	case msg.CodeReadNotFound:
		f.Kind = engine.NotFound
		return
	case msg.CodeVersionUnavailable:
		if minimum, ok := refusal.Fields.MinimumAvailable.Get(); ok {
			f.Kind, f.Minimum = engine.BelowFloor, minimum
		}
		return
	case msg.CodeReadDataBlocks, msg.CodeReadMetadataBlocks:
		// The node cannot read this part of the log; it can read other aggregates.
		f.Kind, f.Answered = engine.Silent, true
		return
	case msg.CodeWatchLatency, msg.CodeWatchInvalid, msg.CodeRouting, msg.CodeSeveralShards:
		f.Kind = engine.Permanent
		return
	}
	if refusal.Code.Class() == msg.ClassAuth {
		f.Kind = engine.Permanent
	}
}

// classifyStore says the same of a look-up in the checkpoint store.
func classifyStore(err error) engine.Failure {
	if permanent(err) {
		return engine.Failure{Kind: engine.Permanent, Err: err}
	}
	return engine.Failure{Kind: engine.Unavailable, Err: err}
}

// permanent reports whether repeating a call of the checkpoint store is useless.
func permanent(err error) bool {
	for _, final := range []error{checkpoint.ErrFenced, checkpoint.ErrClosed, checkpoint.ErrFailed} {
		if errors.Is(err, final) {
			return true
		}
	}
	var (
		regression *checkpoint.RegressionError
		damaged    *checkpoint.DamagedError
		version    *checkpoint.VersionError
		name       *checkpoint.NameError
		size       *checkpoint.SizeError
	)
	return errors.As(err, &regression) || errors.As(err, &damaged) || errors.As(err, &version) ||
		errors.As(err, &name) || errors.As(err, &size)
}
