package operators_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// sharing is a member of a subscription with several partitions.
type sharing struct{ *world }

func (s sharing) Open(ctx context.Context) (stream.Consumer, error) {
	return stream.Open(ctx, stream.FromPool(s.pool), stream.Types(org, typ),
		stream.Options{Name: "test", Store: s.store, Ownership: stream.Leased, Partitions: 8})
}

// holdings follow by the hooks what a member owns, and refuse changes of anything else.
type holdings struct {
	t       *testing.T
	mu      sync.Mutex
	held    map[uint32]checkpoint.Owner
	gained  int
	reasons []stream.Reason
	handled []string
}

func (h *holdings) hooks() operators.Hooks {
	return operators.Hooks{
		Gained: func(p operators.PartitionInfo) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if _, twice := h.held[p.Partition]; twice || p.Owner.Partition != p.Partition {
				h.t.Errorf("gained %+v, holding %v", p, h.held)
			}
			h.held[p.Partition] = p.Owner
			h.gained++
		},
		Lost: func(p operators.PartitionInfo) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.held[p.Partition] != p.Owner {
				h.t.Errorf("lost %+v, holding %v", p, h.held)
			}
			delete(h.held, p.Partition)
			h.reasons = append(h.reasons, p.Reason)
		},
	}
}

func (h *holdings) handle(ctx context.Context, c stream.Change) error {
	if c.Kind != stream.Batch {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	owner, ok := checkpoint.OwnerFromContext(ctx)
	if !ok || h.held[c.Partition] != owner {
		return fmt.Errorf("%s comes under %v, holding %v", describe(c), owner, h.held)
	}
	h.handled = append(h.handled, describe(c))
	return nil
}

// A program can keep state for each partition: it hears of a gain before the first change,
// and of a loss behind the last one.
//
//covers:g17
func TestHandlersHearOfPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, checkpoint.NewMemory())
		start := func() (*holdings, func() error) {
			h := &holdings{t: t, held: make(map[uint32]checkpoint.Owner)}
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- operators.ForEach(ctx, sharing{w}, h.handle, operators.WithHooks(h.hooks()),
					operators.WithVerdicts(func(operators.Failure) operators.Verdict { return operators.Stop }))
			}()
			return h, func() error {
				cancel(errStop)
				return <-ended
			}
		}
		var want []string
		write := func() {
			for key := range uint64(20) {
				w.write(key, "x")
				want = append(want, fmt.Sprintf("%d.%d", key, len(want)/20+1))
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		first, stopFirst := start()
		write()
		second, stopSecond := start()
		time.Sleep(time.Minute)
		write()
		if len(first.held) != 4 || len(second.held) != 4 || len(first.reasons) != 4 || slices.Contains(first.reasons, stream.Expired) {
			t.Errorf("the first holds %v and lost by %v, the second holds %v", first.held, first.reasons, second.held)
		}
		if err := stopSecond(); !errors.Is(err, errStop) {
			t.Errorf("the second ended with %v", err)
		}
		time.Sleep(time.Minute)
		write()
		if len(first.held) != 8 || first.gained != 12 {
			t.Errorf("in the end the first holds %v after %d gains", first.held, first.gained)
		}
		if err := stopFirst(); !errors.Is(err, errStop) {
			t.Errorf("the first ended with %v", err)
		}
		got := append(first.handled, second.handled...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("handled %v, want %v", got, want)
		}
	})
}
