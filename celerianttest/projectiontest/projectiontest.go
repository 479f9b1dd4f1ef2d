package projectiontest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
)

// Instance is an empty read model and what keeps it.
type Instance struct {
	// Store keeps the cursors.
	Store checkpoint.Store
	// Run consumes src until ctx ends, for instance with operators.Project, and
	// returns its error. Run is called again after it has returned, and twice at
	// once where a second owner takes over.
	Run func(ctx context.Context, src operators.Source) error
	// Rows returns what the read model shows, one text for each row, in any order.
	Rows func(ctx context.Context) ([]string, error)
	// Close, if set, releases the instance.
	Close func() error
}

// TB is what is used of *testing.T.
type TB interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// Open makes an empty instance.
type Open func() (Instance, error)

// Options shape Check. The zero value of each field means its default.
type Options struct {
	// Seed decides the histories; default 1.
	Seed uint64
	// Histories is their number; default 20. Steps is the most steps of one, default 6,
	// Aggregates the most aggregates, default 3.
	Histories, Steps, Aggregates int
	// NoTrims leaves trims out.
	NoTrims bool
	// ExactlyOnce says that the store takes part in the transactions of the read
	// model, so that a lost cursor is not tried: a projection need not be idempotent.
	ExactlyOnce bool
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *int
		value int
	}{{&o.Histories, 20}, {&o.Steps, 6}, {&o.Aggregates, 3}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	return o
}

// Check runs the projection through histories of events that event makes, and fails
// with the shortest one after which its rows depend on how it was run.
func Check(t TB, open Open, event func(rng *rand.Rand, aggregate int) msg.Event, o Options) {
	t.Helper()
	o = o.withDefaults()
	disturbances := []disturbance{lost, takenOver}
	if o.ExactlyOnce {
		disturbances = []disturbance{takenOver}
	}
	for n := range o.Histories {
		steps := generate(rand.New(rand.NewPCG(o.Seed, uint64(n))), o, event)
		for _, d := range disturbances {
			h := history{steps: steps, disturb: d}
			if err := try(t.Context(), open, h); err != nil {
				h, err = shorten(t.Context(), open, h, err)
				t.Fatalf("seed %d: %v\n%v", o.Seed, h, err)
				return
			}
		}
	}
}

// shorten leaves out steps while the history still fails.
func shorten(ctx context.Context, open Open, h history, failed error) (history, error) {
	for again := true; again; {
		again = false
		for at := range h.steps {
			less := h.without(at)
			if err := try(ctx, open, less); err != nil {
				h, failed, again = less, err, true
				break
			}
		}
	}
	return h, failed
}

// try runs a history smoothly, as it says, and anew at its end; all must show the same
// rows. A fresh consumer does not see what was trimmed, so that it is not compared then.
func try(ctx context.Context, open Open, h history) error {
	plain := history{steps: h.steps}
	want, fresh, err := play(ctx, open, plain)
	if err != nil {
		return err
	}
	if !h.trims() && !slices.Equal(want, fresh) {
		return differs("a consumer that was there all the time", want, "one that began at the end", fresh)
	}
	got, _, err := play(ctx, open, h)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return differs("a consumer "+h.disturb.String(), got, "one "+smooth.String(), want)
	}
	return nil
}

func differs(one string, rows []string, other string, others []string) error {
	return fmt.Errorf("%s shows\n  %s\n%s shows\n  %s", one, strings.Join(rows, "\n  "), other, strings.Join(others, "\n  "))
}

// play runs a history and returns what its consumer shows at the end, and what a
// fresh one does.
func play(ctx context.Context, open Open, h history) (rows, fresh []string, err error) {
	w, err := newWorld()
	if err != nil {
		return nil, nil, err
	}
	defer w.close()
	i, err := open()
	if err != nil {
		return nil, nil, err
	}
	defer i.close()
	for _, s := range h.steps {
		if err := w.do(ctx, s); err != nil {
			return nil, nil, fmt.Errorf("projectiontest: %v: %w", s, err)
		}
		if h.disturb == lost {
			if err := w.run(ctx, i, true, false); err != nil {
				return nil, nil, err
			}
		}
		if err := w.run(ctx, i, false, h.disturb == takenOver); err != nil {
			return nil, nil, err
		}
	}
	if rows, err = i.rows(ctx); err != nil {
		return nil, nil, err
	}
	late, err := open()
	if err != nil {
		return nil, nil, err
	}
	defer late.close()
	if err := w.run(ctx, late, false, false); err != nil {
		return nil, nil, err
	}
	fresh, err = late.rows(ctx)
	return rows, fresh, err
}

func (i Instance) rows(ctx context.Context) ([]string, error) {
	rows, err := i.Rows(ctx)
	slices.Sort(rows)
	return rows, err
}

func (i Instance) close() {
	if i.Close != nil {
		_ = i.Close()
	}
}

// Scenario is a history with the rows that it is to lead to.
type Scenario struct {
	t     TB
	open  Open
	steps []Step
}

// Given begins a scenario with what has happened before.
func Given(t TB, open Open, steps ...Step) *Scenario {
	return &Scenario{t: t, open: open, steps: steps}
}

// When adds what happens then.
func (s *Scenario) When(steps ...Step) *Scenario {
	s.steps = append(s.steps, steps...)
	return s
}

// Then runs the projection, with a restart after each step, and fails unless it shows
// these rows, in any order.
func (s *Scenario) Then(rows ...string) {
	s.t.Helper()
	got, _, err := play(s.t.Context(), s.open, history{steps: s.steps})
	want := slices.Clone(rows)
	slices.Sort(want)
	switch {
	case err != nil:
		s.t.Fatalf("%v\n%v", history{steps: s.steps}, err)
	case !slices.Equal(got, want):
		s.t.Fatalf("%v\n%v", history{steps: s.steps}, differs("the projection", got, "wanted", want))
	}
}
