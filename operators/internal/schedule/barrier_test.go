package schedule_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators/internal/schedule"
	"github.com/celeriant/celeriant-go/stream"
)

// A CaughtUp that comes between the handling of a change and the end of its task does
// not wait for that change for ever.
func TestCaughtUpBetweenAChangeAndTheEndOfItsTask(t *testing.T) {
	s := schedule.New(schedule.Limits{Changes: 10, Bytes: 1 << 20, Waiting: 10})
	d := schedule.Demand{Changes: 1, Bytes: 1 << 20}
	now := time.Unix(1000, 0)
	s.Add(now, []stream.Change{{Kind: stream.Batch, Key: keyOf(1), Batch: msg.Batch{Version: 1}, Cursor: checkpoint.Cursor{Version: 1}}})
	var task schedule.Task
	if !s.Take(now, d, &task) {
		t.Fatal("no task")
	}
	s.Handled(now, &task.Changes[0], false)
	s.Add(now, []stream.Change{{Kind: stream.CaughtUp}})
	s.Done(now, &task)
	if !s.Take(now, d, &task) || task.Changes[0].Kind != stream.CaughtUp {
		t.Error("CaughtUp waits for what was handled")
	}
}
