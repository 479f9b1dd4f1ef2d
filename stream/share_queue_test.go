package stream

import (
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

func TestQueueMerges(t *testing.T) {
	some, none := msg.Some[uint64], msg.None[uint64]()
	op := func(o msg.Operation, from, to, keep msg.Opt[uint64]) msg.Notification {
		return msg.Notification{Operation: o, From: from, To: to, KeepFrom: keep}
	}
	for _, c := range []struct {
		name      string
		add, want []msg.Notification
	}{
		{"versions", []msg.Notification{op(1, some(5), some(5), none), op(1, some(3), some(4), none), op(1, some(6), some(8), none)},
			[]msg.Notification{op(1, some(3), some(8), none)}},
		{"a version that is not named", []msg.Notification{op(1, some(5), some(5), none), op(1, none, none, none), op(1, some(9), some(9), none)},
			[]msg.Notification{op(1, none, none, none)}},
		{"floors", []msg.Notification{op(3, none, none, some(5)), op(3, none, none, some(4))},
			[]msg.Notification{op(3, none, none, some(5))}},
		{"operations stay apart", []msg.Notification{op(5, none, none, none), op(1, some(1), some(1), none), op(0, none, none, none), op(0, none, none, none)},
			[]msg.Notification{op(5, none, none, none), op(1, some(1), some(1), none), op(0, none, none, none)}},
	} {
		var q hintQueue
		for i := range c.add {
			q.add(&c.add[i])
		}
		if got := q.take(); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if len(q.take()) > 0 {
			t.Errorf("%s: taken twice", c.name)
		}
	}
}

// Hints that were taken stay as they are until the next take, whatever is added; a
// burst leaves no memory behind.
func TestQueueLendsWhatIsTaken(t *testing.T) {
	var q hintQueue
	for round := range 4 {
		for i := range uint64(10) {
			n := hint(round, i+1, i+1)
			q.add(&n)
		}
		taken := q.take()
		for i := range uint64(10) {
			n := hint(9, i+1, i+1)
			q.add(&n)
		}
		if len(taken) != 1 || taken[0].Key != hint(round, 1, 1).Key || taken[0].To.Value != 10 {
			t.Fatalf("round %d: %v", round, taken)
		}
		q.take()
	}
	for i := range 5000 {
		n := hint(1, 1, 1)
		n.Key.Aggregate = msg.IDFromUint64(uint64(i))
		q.add(&n)
	}
	q.take()
	q.take()
	if cap(q.pending) > keptPending || cap(q.spare) > keptPending || len(q.at) > 0 {
		t.Errorf("%d and %d places are kept", cap(q.pending), cap(q.spare))
	}
}
