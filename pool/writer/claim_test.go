package writer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/pool/writer"
)

// deciding decides on so many events at each try, the last number for ever.
func deciding(counts ...int) writer.Decision[int] {
	return writer.Decision[int]{Decide: func(int, uint64) ([]msg.Event, error) {
		n := counts[0]
		if len(counts) > 1 {
			counts = counts[1:]
		}
		return make([]msg.Event, n), nil
	}}
}

func stored(seq uint64) error {
	return refusal(msg.CodeDuplicate, `{"last_client_seq":%d,"attempted_client_seq":1}`, seq)
}

// A command that decides on more or fewer events from try to try claims all the
// sequences that any try has used: one of these, stored, may be its own.
func TestClaimCoversEveryTry(t *testing.T) {
	for name, counts := range map[string][]int{"more": {1, 3}, "fewer": {3, 1}} {
		m := newModel()
		m.beforeWrite = func(*msg.WriteRequest) error {
			if len(m.writes) == 1 {
				return lost()
			}
			return stored(3)
		}
		_, err := writer.Execute(ctx, newWriter(t, m, nil), order, deciding(counts...))
		if !msg.Ambiguous(err) {
			t.Errorf("%s: %v", name, err)
		}
		wantSequences(t, m, 1, 1, 1)
	}
}

// How many sequences an earlier call has used is not known: those stored above
// the first one may all be its own.
func TestInheritedClaimIsOfUnknownLength(t *testing.T) {
	m := newModel()
	sequences := new(writer.MemorySequences)
	if _, err := sequences.Claim(ctx, order.Key, order.ID, 3, 4); err != nil {
		t.Fatal(err)
	}
	m.beforeWrite = func(*msg.WriteRequest) error { return stored(7) }
	if _, err := writer.Execute(ctx, newWriter(t, m, sequences), order, deciding(1)); !msg.Ambiguous(err) {
		t.Error(err)
	}
	wantSequences(t, m, 5, 5, 5)
	if first, _ := sequences.OpenClaim(ctx, order.Key, order.ID); first != msg.Some[uint64](5) {
		t.Errorf("the claim is %v", first)
	}
}

// A sequence proven to be a sibling's is given up, be its claim inherited and
// the log trimmed; the next one lies above all that the node holds.
func TestClaimOfASiblingIsGivenUp(t *testing.T) {
	m := newModel()
	m.append(other, 1)
	m.append(me, 5)
	m.floor, m.floors[me] = 2, 9 // of a life before
	sequences := new(writer.MemorySequences)
	if _, err := sequences.Claim(ctx, order.Key, order.ID, 1, 4); err != nil {
		t.Fatal(err)
	}
	out, err := place(newWriter(t, m, sequences))
	if err != nil || out != (writer.Outcome{Version: 3, Appended: true, Tries: 2}) {
		t.Error(out, err)
	}
	wantSequences(t, m, 5, 10)
}

// A sequence that was refused unused is used again, unless a sibling was faster.
func TestUnusedSequence(t *testing.T) {
	for _, sibling := range []bool{false, true} {
		m := newModel()
		m.beforeWrite = func(*msg.WriteRequest) error { return first(m, refusal(msg.CodeServerBusy, "{}")) }
		m.beforeRead = func() {
			if sibling && len(m.writes) == 1 && len(m.batches) == 0 {
				m.append(me, 1)
			}
		}
		if _, err := place(newWriter(t, m, nil)); err != nil {
			t.Error(err)
		}
		if sibling {
			wantSequences(t, m, 1, 2)
		} else {
			wantSequences(t, m, 1, 1)
		}
	}
}

// silentLog acknowledges writes without a version.
type silentLog struct{ *model }

func (l silentLog) Write(ctx context.Context, req *msg.WriteRequest) (*msg.WriteResponse, error) {
	_, err := l.model.Write(ctx, req)
	return new(msg.WriteResponse), err
}

// An acknowledgement that names no version is believed only when the batch is seen.
func TestAcknowledgementWithoutVersion(t *testing.T) {
	m := newModel()
	out, err := place(newWriter(t, silentLog{m}, nil))
	if err != nil || out != (writer.Outcome{Version: 1, Appended: true, AlreadyApplied: true, Tries: 1}) {
		t.Error(out, err)
	}
	m = newModel()
	m.hidden = 1
	if _, err := newWriter(t, silentLog{m}, nil).Append(ctx, order, events(1, nil)); !msg.Ambiguous(err) {
		t.Error(err)
	}
	if m.applied(order.ID) != 1 {
		t.Errorf("applied %d times", m.applied(order.ID))
	}
	m = newModel()
	m.beforeRead = func() { m.hidden = len(m.batches) }
	w, err := writer.New(silentLog{m}, writer.Options{ClientID: me, Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(ctx, order, events(1, nil)); !msg.Ambiguous(err) || !errors.Is(err, pool.ErrProtocol) {
		t.Error(err)
	}
}

// The events stay the caller's.
func TestEventsAreNotChanged(t *testing.T) {
	m := newModel()
	m.append(me, 6)
	mine := []msg.Event{{Major: 1}, {Major: 2}}
	w := newWriter(t, m, nil)
	if _, err := w.Append(ctx, order, mine); err != nil {
		t.Fatal(err)
	}
	same := writer.Decision[int]{Decide: func(int, uint64) ([]msg.Event, error) { return mine, nil }}
	if _, err := writer.Execute(ctx, w, writer.Command{Key: key, ID: msg.IDFromUint64(78)}, same); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(mine), fmt.Sprint([]msg.Event{{Major: 1}, {Major: 2}}); got != want {
		t.Errorf("changed to %v", got)
	}
	wantSequences(t, m, 7, 9)
}

// heedful sequences look at their context.
type heedful struct{ writer.MemorySequences }

func (s *heedful) Settle(ctx context.Context, key msg.Key, command msg.ID) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.MemorySequences.CloseClaim(ctx, key, command)
}

// A claim is settled although the caller has left meanwhile.
func TestClaimIsSettledBehindTheContext(t *testing.T) {
	m := newModel()
	over, leave := context.WithCancel(ctx)
	m.afterWrite = func(*msg.WriteRequest) error { leave(); return nil }
	sequences := new(heedful)
	if _, err := newWriter(t, m, sequences).Append(over, order, events(1, nil)); err != nil {
		t.Fatal(err)
	}
	if first, _ := sequences.OpenClaim(ctx, order.Key, order.ID); first.Set {
		t.Errorf("claim %v is open", first)
	}
}
