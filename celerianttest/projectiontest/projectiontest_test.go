package projectiontest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/projectiontest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sums is a read model with a sum for each aggregate. Its flaws are what the test kit
// is for.
type sums struct {
	mu   sync.Mutex
	rows map[msg.Key]row

	forgetsVoids bool // it does not heed Deleted and Reset
	adds         bool // it adds to what is there, whether it has seen the batch or not
	fails        bool
	skips        bool // it passes over what its predecessor has handled
}

type row struct {
	sum     int
	version uint64
}

func (s *sums) handle(_ context.Context, c stream.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.Kind {
	case stream.Deleted, stream.Reset:
		if !s.forgetsVoids {
			delete(s.rows, c.Key)
		}
	case stream.Batch:
		r := s.rows[c.Key]
		if s.fails && c.Batch.Version == 2 {
			return fmt.Errorf("cannot do that")
		}
		if !s.adds && c.Batch.Version <= r.version {
			return nil
		}
		for _, e := range c.Batch.Events {
			r.sum += len(e.Value)
		}
		r.version = c.Batch.Version
		s.rows[c.Key] = r
	}
	return nil
}

func (s *sums) open() (projectiontest.Instance, error) {
	return s.empty().instance(checkpoint.NewMemory()), nil
}

func (s *sums) empty() *sums {
	return &sums{rows: make(map[msg.Key]row), forgetsVoids: s.forgetsVoids, adds: s.adds, fails: s.fails, skips: s.skips}
}

func (s *sums) instance(store checkpoint.Store) projectiontest.Instance {
	handle := operators.Handler(s.handle)
	if s.skips {
		handle = operators.SkipReplays()(handle)
	}
	return projectiontest.Instance{
		Store: store,
		Run: func(ctx context.Context, src operators.Source) error {
			return operators.ForEach(ctx, src, handle, operators.WithVerdicts(func(operators.Failure) operators.Verdict { return operators.Stop }))
		},
		Rows: func(context.Context) (rows []string, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for key, r := range s.rows {
				_, n := key.Aggregate.Uint64s()
				rows = append(rows, fmt.Sprintf("%d: %d", n, r.sum))
			}
			return rows, nil
		},
	}
}

func event(rng *rand.Rand, _ int) msg.Event {
	return msg.Event{Major: 1, Value: []byte(strings.Repeat("x", 1+rng.IntN(9)))}
}

// verdict keeps what a test kit says, without failing the test.
type verdict struct {
	testing.TB
	failed string
}

func (v *verdict) Fatalf(format string, args ...any) { v.failed = fmt.Sprintf(format, args...) }

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		model *sums
		steps int // of the shortest history that shows the flaw; 0 for none
		says  string
	}{
		"sound":             {&sums{}, 0, ""},
		"forgets Deleted":   {&sums{forgetsVoids: true}, 2, "delete aggregate"},
		"is not idempotent": {&sums{adds: true}, 1, "cursors lost"},
		"fails":             {&sums{fails: true}, 2, "cannot do that"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verdict{TB: t}
			projectiontest.Check(v, c.model.open, event, projectiontest.Options{Histories: 8})
			steps := strings.Count(v.failed, "\n  ") // also rows
			if (v.failed == "") != (c.steps == 0) || !strings.Contains(v.failed, c.says) {
				t.Fatalf("it says %q", v.failed)
			}
			if c.steps > 0 && !strings.Contains(v.failed, fmt.Sprintf("\n  %d. ", c.steps)) || strings.Contains(v.failed, fmt.Sprintf("\n  %d. ", c.steps+1)) {
				t.Errorf("the shortest history has not %d steps, of %d lines:\n%s", c.steps, steps, v.failed)
			}
		})
	}
}

func TestScenario(t *testing.T) {
	model := &sums{}
	five, two := msg.Event{Major: 1, Value: []byte("xxxxx")}, msg.Event{Major: 1, Value: []byte("xx")}
	projectiontest.Given(t, model.open, projectiontest.Batch(1, five), projectiontest.Batch(2, two)).
		When(projectiontest.Batch(1, two), projectiontest.Delete(2)).
		Then("1: 7")
	v := &verdict{TB: t}
	projectiontest.Given(v, model.open, projectiontest.Batch(1, five)).Then("1: 4")
	if !strings.Contains(v.failed, "1: 5") || !strings.Contains(v.failed, "write to aggregate 1") {
		t.Errorf("it says %q", v.failed)
	}
}
