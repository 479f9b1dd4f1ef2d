package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
)

var errRefused = errors.New("the shop refuses it")

// shop is the service.
type shop struct {
	url string
	out io.Writer
}

// tell is the handler: it posts the events of one change. tell may be called again for
// a change that it has told of already, after a crash for instance. So each request
// says by which id the service can know a repetition.
func (s *shop) tell(ctx context.Context, c celeriant.Change) error {
	for i, e := range c.Batch.Events {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(e.Value))
		if err != nil {
			return err
		}
		request.Header.Set("Idempotency-Key", c.EventID(i).String())
		request.Header.Set("Order", c.Key.Aggregate.String())
		request.Header.Set("Version", strconv.FormatUint(c.Batch.Version, 10))
		if claim, ok := checkpoint.OwnerFromContext(ctx); ok {
			// A service that refuses smaller numbers than it has seen is safe from an
			// instance that was replaced and does not know it yet.
			request.Header.Set("Fencing-Token", fmt.Sprintf("%d/%d", claim.Partition, claim.Epoch))
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err // Retry
		}
		_ = answer.Body.Close()
		switch code := answer.StatusCode; {
		case code == http.StatusTooManyRequests || code >= 500:
			seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After")) // 0 if it does not say
			return operators.RetryAfter(fmt.Errorf("the shop answers %s", answer.Status), time.Duration(seconds)*time.Second)
		case code >= 400:
			return fmt.Errorf("%w: %s", errRefused, answer.Status) // Park
		}
		fmt.Fprintf(s.out, "told the shop of %v\n", &c)
	}
	return nil
}

// classify judges a failure: an order that the service refuses is parked, everything
// else passes, and is tried again with growing pauses for as long as it takes.
func classify(f operators.Failure) operators.Verdict {
	if errors.Is(f.Err, errRefused) {
		return operators.Park
	}
	return operators.Retry
}
