package projectiontest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/celeriant/celeriant-go/msg"
)

// Step is one thing that happens to an aggregate.
type Step struct {
	kind      kind
	aggregate int
	events    []msg.Event
}

type kind uint8

const (
	write kind = iota
	remove
	trim
)

// Batch writes events to an aggregate, in one batch.
func Batch(aggregate int, events ...msg.Event) Step {
	return Step{kind: write, aggregate: aggregate, events: events}
}

// Delete deletes an aggregate, which a later Batch creates anew.
func Delete(aggregate int) Step { return Step{kind: remove, aggregate: aggregate} }

// Trim removes the batches of an aggregate but the last one.
func Trim(aggregate int) Step { return Step{kind: trim, aggregate: aggregate} }

// String describes the step in a line.
func (s Step) String() string {
	switch s.kind {
	case remove:
		return fmt.Sprintf("delete aggregate %d", s.aggregate)
	case trim:
		return fmt.Sprintf("trim aggregate %d", s.aggregate)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "write to aggregate %d:", s.aggregate)
	for _, e := range s.events {
		fmt.Fprintf(&b, " %d.%d %.60q", e.Major, e.Minor, e.Value)
	}
	return b.String()
}

// history is what happens, and how the consumer is run meanwhile.
type history struct {
	steps []Step
	// disturb is what happens to the consumer after each step.
	disturb disturbance
}

type disturbance uint8

const (
	smooth    disturbance = iota // it is stopped once it has stored everything
	lost                         // what it stored since its start is lost
	takenOver                    // another owner takes over in the middle
)

func (d disturbance) String() string {
	return [...]string{"run once after each step", "run after each step, its cursors lost", "taken over by another owner after each step"}[d]
}

// String lists the steps.
func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "consumer %v:", h.disturb)
	for i, s := range h.steps {
		fmt.Fprintf(&b, "\n  %d. %v", i+1, s)
	}
	return b.String()
}

// trims reports whether a fresh consumer would see less than one that was there.
func (h history) trims() bool {
	for _, s := range h.steps {
		if s.kind == trim {
			return true
		}
	}
	return false
}

// without returns the history less one step.
func (h history) without(at int) history {
	h.steps = append(append([]Step(nil), h.steps[:at]...), h.steps[at+1:]...)
	return h
}

// generate draws steps.
func generate(rng *rand.Rand, o Options, event func(*rand.Rand, int) msg.Event) []Step {
	steps := make([]Step, 1+rng.IntN(o.Steps))
	for i := range steps {
		aggregate := 1 + rng.IntN(o.Aggregates)
		switch n := rng.IntN(10); {
		case n == 0 && !o.NoTrims:
			steps[i] = Trim(aggregate)
		case n <= 2:
			steps[i] = Delete(aggregate)
		default:
			events := make([]msg.Event, 1+rng.IntN(2))
			for e := range events {
				events[e] = event(rng, aggregate)
			}
			steps[i] = Batch(aggregate, events...)
		}
	}
	return steps
}
