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

// A CaughtUp waits for a change that was dropped and is read again, although what was read
// again so far is handled.
func TestCaughtUpWaitsForWhatIsReadAgain(t *testing.T) {
	s := schedule.New(schedule.Limits{Changes: 10, Bytes: 1 << 20, Waiting: 10})
	key := keyOf(1)
	change := func(version uint64) stream.Change {
		return stream.Change{
			Kind: stream.Batch, Key: key, Batch: msg.Batch{Version: version},
			Cursor: checkpoint.Cursor{Version: version}, Previous: checkpoint.Cursor{Version: version - 1},
		}
	}
	now := time.Unix(1000, 0)
	demand := schedule.Demand{Changes: 1, Bytes: 1 << 20, Full: 4}
	var task schedule.Task
	take := func() {
		t.Helper()
		if !s.Take(now, demand, &task) {
			t.Fatal("nothing is to be handled")
		}
	}
	s.Add(now, []stream.Change{change(1)})
	take()
	first := task.Changes[0]
	s.Retry(&first, s.Failure(&first), now.Add(time.Second))
	s.Done(now, &task)
	// Version 2 was on its way and is dropped: it will be read again behind version 1.
	s.Add(now, []stream.Change{change(2), {Kind: stream.CaughtUp}})
	s.Orders()
	s.Wake(now.Add(2 * time.Second))
	s.Orders()
	s.Add(now, []stream.Change{change(1)})
	take()
	s.Handled(now, &task.Changes[0], true)
	s.Done(now, &task)
	if s.Take(now, demand, &task) {
		t.Fatalf("%v is handled before version 2", &task.Changes[0])
	}
	s.Add(now, []stream.Change{change(2)})
	take()
	s.Handled(now, &task.Changes[0], true)
	s.Done(now, &task)
	take()
	if task.Changes[0].Kind != stream.CaughtUp {
		t.Errorf("%v is handled instead of CaughtUp", &task.Changes[0])
	}
}
