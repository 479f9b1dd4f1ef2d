package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/celeriant/celeriant-go/internal/wire"
)

// The sentinels of package pool that arise on one connection; they are documented there.
var (
	ErrClosed           = errors.New("closed")
	ErrConnect          = errors.New("connecting failed")
	ErrConnectTimeout   = errors.New("connecting timed out")
	ErrCredentials      = errors.New("no credentials")
	ErrTLS              = errors.New("no agreement on TLS")
	ErrRequestTimeout   = errors.New("request timed out")
	ErrWatchSilent      = errors.New("no frame from the watch")
	ErrConnectionLost   = errors.New("connection lost")
	ErrProtocol         = errors.New("protocol violation")
	ErrResponseTooLarge = errors.New("response too large")
	ErrTooLarge         = errors.New("request too large")
	ErrInvalid          = errors.New("invalid request")
)

// TimeoutError is one of the timeout sentinels with the time it took, and what was
// being done.
type TimeoutError struct {
	Sentinel error
	After    time.Duration
	During   string // empty when the sentinel says it all
}

// Error names the sentinel, the time and the step.
func (e *TimeoutError) Error() string {
	text := fmt.Sprintf("%v after %v", e.Sentinel, e.After)
	if e.During != "" {
		text += ", while " + e.During
	}
	return text
}

// Unwrap returns the sentinel.
func (e *TimeoutError) Unwrap() error { return e.Sentinel }

// Timeout is true.
func (e *TimeoutError) Timeout() bool { return true }

// Ended says that the caller's context is over, and why.
func Ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// Violation says that the node broke the protocol.
func Violation(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, args...))
}

// decodeError sorts why a body is not the answer its header announced.
func decodeError(err error) error {
	var broken *wire.DecodeError
	if errors.As(err, &broken) && broken.TooLarge {
		return fmt.Errorf("%w: %w: %w", ErrProtocol, ErrResponseTooLarge, err)
	}
	return Violation("%w", err)
}

// encodeError sorts why a request could not become a frame.
func encodeError(err error) error {
	var size *wire.SizeError
	if errors.As(err, &size) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// transportError sorts what reading or writing returned. Only the caller knows
// what a passed deadline means; it is returned as it is.
func transportError(err error) error {
	var frame *wire.FrameError
	switch {
	case errors.As(err, &frame) && frame.TooLarge:
		return fmt.Errorf("%w: %w: %w", ErrProtocol, ErrResponseTooLarge, err)
	case errors.As(err, &frame):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, ErrTLS):
		return err
	case err == io.EOF:
		return fmt.Errorf("%w: closed by the node", ErrConnectionLost)
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, err)
}
