package schedule_test

import (
	"errors"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

// A CaughtUp waits for an aggregate until it is stored that it is parked: a parking that
// is refused becomes another attempt, for which it waits, too.
func TestCaughtUpWaitsForARefusedParking(t *testing.T) {
	now := time.Unix(1000, 0)
	s := schedule.New(schedule.Limits{Changes: 10, Bytes: 1 << 20, Waiting: 10})
	change := stream.Change{Kind: stream.Batch, Key: keyOf(1), Batch: msg.Batch{Version: 1}, Cursor: checkpoint.Cursor{Version: 1}}
	demand := schedule.Demand{Changes: 1, Bytes: 1 << 20}
	s.Add(now, []stream.Change{change, {Kind: stream.CaughtUp}})
	var task schedule.Task
	if !s.Take(now, demand, &task) {
		t.Fatal("nothing to do")
	}
	f := schedule.FailureOf(&change)
	f.Attempts, f.Err = 1, errors.New("refused")
	s.Park(&task.Changes[0], f)
	s.Done(now, &task)
	if s.Take(now, demand, &task) {
		t.Fatalf("%v before it is stored that the aggregate is parked", task.Changes)
	}
	s.ParkingRefused(keyOf(1), now)
	if s.Take(now, demand, &task) {
		t.Fatalf("%v before the next attempt", task.Changes)
	}
	s.Wake(now)
	s.Orders()
	s.Add(now, []stream.Change{change})
	if !s.Take(now, demand, &task) || task.Changes[0].Kind != stream.Batch {
		t.Fatalf("next is %v, want the batch", task.Changes)
	}
	s.Handled(now, &task.Changes[0], true)
	s.Done(now, &task)
	if !s.Take(now, demand, &task) || task.Changes[0].Kind != stream.CaughtUp {
		t.Fatalf("next is %v, want CaughtUp", task.Changes)
	}
}
