package operators_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// heard is a consumer that notes what is being retried.
type heard struct {
	*supply
	full int
}

func (h *heard) Open(context.Context) (stream.Consumer, error) { return h, nil }

func (h *heard) ReportRetry(_ string, err error, _ time.Time) {
	if _, is := errors.AsType[*operators.FullError](err); is {
		h.full++
	}
}

// When as many aggregates wait for another attempt as may, nothing further is read, and
// the health of the subscription says so, once.
func TestTooManyWaitingAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, some = 10_000, 8000
		h := &heard{supply: newSupply(bound+some, bound+some)}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		handled := 0
		go func() {
			ended <- operators.ForEach(ctx, h, func(context.Context, stream.Change) error {
				handled++
				return errPoison
			})
		}()
		synctest.Wait() // no time passes: none of them is tried again
		if handled < bound || handled >= bound+some || h.full != 1 {
			t.Errorf("%d changes were handled, and told %d times that there are too many", handled, h.full)
		}
		cancel(errStop)
		<-ended
	})
}
