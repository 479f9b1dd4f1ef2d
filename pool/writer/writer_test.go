package writer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/pool/writer"
)

var (
	order = writer.Command{Key: key, ID: msg.IDFromUint64(77)}
	other = msg.IDFromUint64(5)
)

func newWriter(t testing.TB, log writer.Log, sequences writer.Sequences) *writer.Writer {
	t.Helper()
	w, err := writer.New(log, writer.Options{ClientID: me, Sequences: sequences, Pause: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// tally is a state: the events seen, and how often it was decided on.
type tally struct{ events, begun int }

// tallying decides on two events always.
func tallying(decided *[]tally) writer.Decision[tally] {
	return writer.Decision[tally]{
		Apply: func(s tally, b msg.Batch) (tally, error) { s.events += len(b.Events); return s, nil },
		Decide: func(s tally, _ uint64) ([]msg.Event, error) {
			*decided = append(*decided, s)
			return []msg.Event{{Major: 1}, {Major: 2}}, nil
		},
	}
}

// place runs the order once.
func place(w *writer.Writer) (writer.Outcome, error) {
	var decided []tally
	return writer.Execute(ctx, w, order, tallying(&decided))
}

func wantSequences(t *testing.T, m *model, want ...uint64) {
	t.Helper()
	if got := m.sequences(); !slices.Equal(got, want) {
		t.Errorf("sequences %v were sent, want %v", got, want)
	}
}

func TestExecuteAppends(t *testing.T) {
	m := newModel()
	m.append(other, 9)
	m.append(me, 4)
	var decided []tally
	out, err := writer.Execute(ctx, newWriter(t, m, nil), order, tallying(&decided))
	if err != nil || out != (writer.Outcome{Version: 3, Appended: true, Tries: 1}) || len(decided) != 1 || decided[0].events != 2 {
		t.Fatal(out, err, decided)
	}
	w := m.writes[0]
	e := w.Writes[0].Events
	if w.ClientID != me || !w.Writes[0].EnforceIdempotency || w.Writes[0].DenyCreate || w.Writes[0].ExpectedVersion != msg.Some[uint64](2) {
		t.Errorf("%+v", w)
	}
	if e[0].ClientSeq != 5 || e[1].ClientSeq != 6 || e[0].EventID != msg.Some(order.ID) || e[1].EventID.Set {
		t.Errorf("%+v", e)
	}
	// The same command once more finds what it did.
	out, err = place(newWriter(t, m, nil))
	if err != nil || out != (writer.Outcome{Version: 3, Appended: true, AlreadyApplied: true}) || len(m.writes) != 1 {
		t.Error(out, err)
	}
}

// A conflict is answered by reading what is new and deciding again, on the
// state as it was, plus that.
func TestExecuteDecidesAgain(t *testing.T) {
	m := newModel()
	for seq := range uint64(3) {
		m.append(other, seq+1)
	}
	rival := uint64(10)
	m.beforeWrite = func(*msg.WriteRequest) error {
		if len(m.writes) < 3 {
			rival++
			m.append(other, rival)
		}
		return nil
	}
	var decided []tally
	applied := 0
	d := tallying(&decided)
	fold := d.Apply
	d.Apply = func(s tally, b msg.Batch) (tally, error) { applied++; return fold(s, b) }
	out, err := writer.Execute(ctx, newWriter(t, m, nil), order, d)
	if err != nil || out != (writer.Outcome{Version: 6, Appended: true, Tries: 3}) || applied != 5 {
		t.Error(out, err, applied)
	}
	if want := []tally{{events: 3}, {events: 4}, {events: 5}}; !slices.Equal(decided, want) {
		t.Errorf("decided on %v", decided)
	}
}

func TestExecuteGivesUpAfterItsTries(t *testing.T) {
	m := newModel()
	rival := uint64(0)
	m.beforeWrite = func(*msg.WriteRequest) error { rival++; m.append(other, rival); return nil }
	_, err := place(newWriter(t, m, nil))
	var failure *writer.CommandError
	if !errors.As(err, &failure) || failure.Tries != 3 || failure.Unknown || !errors.Is(err, writer.ErrTries) || !errors.Is(err, msg.ErrConflict) {
		t.Fatal(err)
	}
	if msg.Ambiguous(err) || !msg.SafeToRetry(err) || m.applied(order.ID) != 0 {
		t.Error(err)
	}
}

// An attempt whose outcome is unknown keeps its sequence, whether it was
// applied, never arrived, or is applied later.
func TestAmbiguousAttemptKeepsItsSequence(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(m *model, late *[]msg.WriteRequest) // installs it
		want  writer.Outcome
		sent  []uint64
	}{
		"answer lost": {func(m *model, _ *[]msg.WriteRequest) {
			m.afterWrite = func(*msg.WriteRequest) error { return lost() }
		}, writer.Outcome{Version: 1, Appended: true, AlreadyApplied: true, Tries: 1}, []uint64{1}},
		"request lost": {func(m *model, _ *[]msg.WriteRequest) {
			m.beforeWrite = func(*msg.WriteRequest) error { return first(m, lost()) }
		}, writer.Outcome{Version: 1, Appended: true, Tries: 2}, []uint64{1, 1}},
		"in flight": {func(m *model, _ *[]msg.WriteRequest) {
			m.beforeWrite = func(*msg.WriteRequest) error { return first(m, refusal(msg.CodeInFlight, "{}")) }
		}, writer.Outcome{Version: 1, Appended: true, Tries: 2}, []uint64{1, 1}},
		"replication failed": {func(m *model, _ *[]msg.WriteRequest) {
			m.beforeWrite = func(*msg.WriteRequest) error { return first(m, refusal(msg.CodeWriteReplication, "{}")) }
		}, writer.Outcome{Version: 1, Appended: true, Tries: 2}, []uint64{1, 1}},
		"late, before the second": {func(m *model, late *[]msg.WriteRequest) {
			m.beforeWrite = func(req *msg.WriteRequest) error {
				if len(m.writes) == 1 {
					*late = append(*late, *req)
					return lost()
				}
				return errors.Join(flush(m, late)) // refused below: 2003, and found by reading
			}
		}, writer.Outcome{Version: 1, Appended: true, AlreadyApplied: true, Tries: 2}, []uint64{1, 1}},
		"late, after the second": {func(m *model, late *[]msg.WriteRequest) {
			m.beforeWrite = func(req *msg.WriteRequest) error {
				if len(m.writes) == 1 {
					*late = append(*late, *req)
					return lost()
				}
				return nil
			}
		}, writer.Outcome{Version: 1, Appended: true, Tries: 2}, []uint64{1, 1}},
	} {
		m := newModel()
		var late []msg.WriteRequest
		c.fault(m, &late)
		out, err := place(newWriter(t, m, nil))
		m.version = 0 // so that the version guard would let it pass
		flush(m, &late)
		if err != nil || out != c.want || m.applied(order.ID) != 1 {
			t.Errorf("%s: %+v, %v, applied %d times", name, out, err, m.applied(order.ID))
		}
		wantSequences(t, m, c.sent...)
	}
}

// first is err for the first write.
func first(m *model, err error) error {
	if len(m.writes) == 1 {
		return err
	}
	return nil
}

// flush lets late requests arrive.
func flush(m *model, late *[]msg.WriteRequest) error {
	for _, req := range *late {
		m.apply(&req)
	}
	*late = nil
	return nil
}

// A conflict behind an attempt whose outcome is unknown says nothing about it.
func TestConflictAfterAmbiguityKeepsTheSequence(t *testing.T) {
	m := newModel()
	m.beforeWrite = func(*msg.WriteRequest) error {
		switch len(m.writes) {
		case 1:
			return lost()
		case 2:
			m.append(other, 1)
		}
		return nil
	}
	if out, err := place(newWriter(t, m, nil)); err != nil || out.Version != 2 {
		t.Error(out, err)
	}
	wantSequences(t, m, 1, 1, 1)
	// The pool below may have lost an answer before it got the conflict.
	m = newModel()
	m.beforeWrite = func(*msg.WriteRequest) error {
		return &writer.CommandError{Unknown: true, Err: refusal(msg.CodeVersionConflict, "{}")} // ambiguous, and a conflict
	}
	if _, err := place(newWriter(t, m, nil)); !msg.Ambiguous(err) {
		t.Error(err)
	}
}

// 2002 is no success: the batch that holds the sequence is read.
func TestDuplicateIsVerified(t *testing.T) {
	t.Run("mine", func(t *testing.T) {
		m := newModel()
		w := newWriter(t, m, nil)
		m.afterWrite = func(*msg.WriteRequest) error { // as if the pool had sent it twice
			return refusal(msg.CodeDuplicate, `{"last_client_seq":2,"attempted_client_seq":1}`)
		}
		out, err := place(w)
		if err != nil || out != (writer.Outcome{Version: 1, Appended: true, AlreadyApplied: true, Tries: 1}) {
			t.Error(out, err)
		}
	})
	t.Run("a sibling's", func(t *testing.T) {
		m := newModel()
		m.beforeWrite = func(req *msg.WriteRequest) error {
			if len(m.writes) == 1 { // unseen by the version guard, for the test's sake
				m.append(me, 1)
				req.Writes[0].ExpectedVersion = msg.None[uint64]()
			}
			return nil
		}
		out, err := place(newWriter(t, m, nil))
		if err != nil || out != (writer.Outcome{Version: 2, Appended: true, Tries: 2}) {
			t.Error(out, err)
		}
		wantSequences(t, m, 1, 2)
	})
	t.Run("unreadable", func(t *testing.T) {
		m := newModel()
		m.afterWrite = func(req *msg.WriteRequest) error {
			return refusal(msg.CodeDuplicate, `{"last_client_seq":2,"attempted_client_seq":1}`)
		}
		m.hidden = 1
		_, err := place(newWriter(t, m, nil))
		if !errors.Is(err, msg.ErrDuplicate) || !errors.Is(err, writer.ErrTries) || !msg.Ambiguous(err) || msg.SafeToRetry(err) {
			t.Error(err)
		}
		wantSequences(t, m, 1, 1, 1)
		// Once it can be read, the same command learns what became of it.
		m.hidden, m.afterWrite = 0, nil
		if out, err := place(newWriter(t, m, nil)); err != nil || !out.AlreadyApplied || m.applied(order.ID) != 1 {
			t.Error(out, err)
		}
	})
	t.Run("without fields", func(t *testing.T) {
		m := newModel()
		m.beforeWrite = func(*msg.WriteRequest) error { return refusal(msg.CodeDuplicate, "prose") }
		if _, err := place(newWriter(t, m, nil)); !msg.Ambiguous(err) {
			t.Error(err)
		}
		wantSequences(t, m, 1, 1, 1)
	})
}

// The sequences of an earlier life are passed by.
func TestSequencesOfAnEarlierLife(t *testing.T) {
	m := newModel()
	for seq := range uint64(5) {
		m.append(me, seq+1)
	}
	m.delete()
	out, err := place(newWriter(t, m, nil))
	if err != nil || out.Version != 6 || m.applied(order.ID) != 1 {
		t.Error(out, err)
	}
	wantSequences(t, m, 1, 6)
}

// Without the version guard nothing shows that a batch, not readable, is not
// the own one, so the sequence is not given up.
func TestAppendKeepsASequenceInDoubt(t *testing.T) {
	m := newModel()
	for seq := range uint64(5) {
		m.append(me, seq+1)
	}
	m.delete()
	_, err := newWriter(t, m, nil).Append(ctx, order, []msg.Event{{Major: 1}})
	if !msg.Ambiguous(err) || !errors.Is(err, msg.ErrDuplicate) {
		t.Error(err)
	}
	wantSequences(t, m, 1, 1, 1)
}

// A sequence whose outcome is open is given up when the own log has passed it;
// not when part of the log cannot be seen any more.
func TestOpenSequenceIsGivenUpOnProof(t *testing.T) {
	for name, c := range map[string]struct {
		trim bool
		sent []uint64
	}{"whole log": {false, []uint64{2, 4}}, "trimmed log": {true, []uint64{2, 2, 2}}} {
		m := newModel()
		m.append(me, 1)
		m.beforeWrite = func(req *msg.WriteRequest) error {
			if len(m.writes) > 1 {
				return nil
			}
			if c.trim { // it was applied, and nobody can see it
				m.apply(req)
				m.floor = 3
			}
			m.append(me, m.floors[me]+2)
			return lost()
		}
		_, err := place(newWriter(t, m, nil))
		if c.trim != msg.Ambiguous(err) || c.trim == (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		wantSequences(t, m, c.sent...)
		if m.applied(order.ID) != 1 {
			t.Errorf("%s: applied %d times", name, m.applied(order.ID))
		}
	}
}

// When the aggregate begins anew while a command is tried, so does the state.
func TestStateBeginsAnew(t *testing.T) {
	m := newModel()
	m.append(other, 1)
	m.append(other, 2)
	m.beforeWrite = func(*msg.WriteRequest) error {
		if len(m.writes) == 1 {
			m.delete()
			m.append(other, 3)
		}
		return nil
	}
	var decided []tally
	begun := 0
	d := tallying(&decided)
	d.New = func() tally { begun++; return tally{begun: begun} }
	if _, err := writer.Execute(ctx, newWriter(t, m, nil), order, d); err != nil {
		t.Fatal(err)
	}
	if want := []tally{{2, 1}, {1, 2}}; !slices.Equal(decided, want) {
		t.Errorf("decided on %v, want %v", decided, want)
	}
}

// A fresh life begins at version 1 while writes are still compared with the
// version of the old one; batches that are only not readable yet look alike and
// must not be passed over.
func TestHighWater(t *testing.T) {
	m := newModel()
	m.batches = []msg.Batch{{Version: 1, ClientID: other, ServerTimestamp: 8, Events: []msg.Event{{Major: 1, ClientSeq: 1}}}}
	m.version = 7
	for _, fresh := range []bool{true, false} {
		m.writes = nil
		log := &detailsLog{model: m, answer: &msg.DetailsResponse{MaxVersion: 7, LastServerTimestamp: 8, LastClientID: other}}
		if !fresh {
			log.answer.LastServerTimestamp = 9 // of a batch that reads do not show
		}
		_, err := place(newWriter(t, log, nil))
		if fresh == errors.Is(err, msg.ErrConflict) {
			t.Errorf("fresh life %v: %v", fresh, err)
		}
		m.batches, m.version = m.batches[:1], 7
	}
}

type detailsLog struct {
	*model
	answer *msg.DetailsResponse
}

func (l *detailsLog) Details(context.Context, msg.Key) (*msg.DetailsResponse, error) {
	return l.answer, nil
}

func TestAppendIsUnconditional(t *testing.T) {
	m := newModel()
	m.append(other, 3)
	m.beforeWrite = func(*msg.WriteRequest) error { m.append(other, uint64(len(m.ever)+3)); return nil }
	for i := range uint64(3) {
		cmd := writer.Command{Key: key, ID: msg.IDFromUint64(100 + i)}
		out, err := newWriter(t, m, nil).Append(ctx, cmd, []msg.Event{{Major: 1}})
		if err != nil || !out.Appended || m.writes[i].Writes[0].ExpectedVersion.Set {
			t.Error(out, err)
		}
	}
	wantSequences(t, m, 1, 2, 3)
}

// Another leader may not know the sequence of a write that the lost one had taken,
// and store it again: only the version guard keeps the second one out.
func TestAppendAcrossTheLossOfALeader(t *testing.T) {
	for name, sequences := range map[string]writer.Sequences{"derived": nil, "kept": new(writer.MemorySequences)} {
		m := newModel()
		m.append(other, 1)
		m.afterWrite = func(*msg.WriteRequest) error {
			if len(m.writes) > 1 {
				return nil
			}
			clear(m.floors)           // the new leader's
			m.hidden = len(m.batches) // which shows nothing yet
			return lost()
		}
		reads := 0
		m.beforeRead = func() {
			if reads++; reads > 2 {
				m.hidden = 0
			}
		}
		w := newWriter(t, m, sequences)
		out, err := w.Append(ctx, order, []msg.Event{{Major: 1}})
		if err != nil || !out.AlreadyApplied || m.applied(order.ID) != 1 {
			t.Errorf("%s: %+v, %v, applied %d times", name, out, err, m.applied(order.ID))
		}
		if m.writes[0].Writes[0].ExpectedVersion.Set || !m.writes[1].Writes[0].ExpectedVersion.Set {
			t.Errorf("%s: conditional were not the writes behind the first", name)
		}
	}
}

// A later call knows from its sequences that an earlier one may have written, and
// does not rest on the sequence either.
func TestAppendRepeatedIsConditional(t *testing.T) {
	m := newModel()
	sequences := new(writer.MemorySequences)
	m.beforeWrite = func(*msg.WriteRequest) error { return lost() }
	if _, err := newWriter(t, m, sequences).Append(ctx, order, events(1, nil)); !msg.Ambiguous(err) {
		t.Fatal(err)
	}
	m.beforeWrite, m.writes = nil, nil
	if _, err := newWriter(t, m, sequences).Append(ctx, order, events(1, nil)); err != nil {
		t.Fatal(err)
	}
	if m.writes[0].Writes[0].ExpectedVersion != msg.Some[uint64](0) {
		t.Error("the write rests on its sequence alone")
	}
}

func TestDecisionsOfTheHandler(t *testing.T) {
	refused := errors.New("no stock")
	m := newModel()
	m.append(other, 1)
	w := newWriter(t, m, nil)
	none := func(tally, uint64) ([]msg.Event, error) { return nil, nil }
	refuse := func(tally, uint64) ([]msg.Event, error) { return nil, refused }
	if out, err := writer.Execute(ctx, w, order, writer.Decision[tally]{Decide: none}); err != nil || out != (writer.Outcome{Version: 1}) {
		t.Error(out, err)
	}
	if _, err := writer.Execute(ctx, w, order, writer.Decision[tally]{Decide: refuse}); !errors.Is(err, refused) || msg.Ambiguous(err) || msg.SafeToRetry(err) {
		t.Error(err)
	}
	apply := func(tally, msg.Batch) (tally, error) { return tally{}, refused }
	if _, err := writer.Execute(ctx, w, order, writer.Decision[tally]{Apply: apply, Decide: none}); !errors.Is(err, refused) || !strings.Contains(err.Error(), "version 1") {
		t.Error(err)
	}
	fresh := []msg.Event{{Major: 1, EventID: msg.Some(other)}, {Major: 1, EventID: msg.Some(other)}}
	if _, err := w.Append(ctx, writer.Command{Key: key, ID: msg.IDFromUint64(77)}, fresh); err != nil {
		t.Error(err)
	}
	if e := m.writes[0].Writes[0].Events; e[0].EventID != msg.Some(msg.IDFromUint64(77)) || e[1].EventID != msg.Some(other) || fresh[0].EventID != msg.Some(other) {
		t.Errorf("events that have ids are written as %+v, and are %+v", e, fresh)
	}
	m.writes = nil
	if _, err := w.Append(ctx, writer.Command{Key: key}, []msg.Event{{Major: 1}}); !errors.Is(err, pool.ErrInvalid) {
		t.Error(err)
	}
	if len(m.writes) != 0 {
		t.Errorf("%d writes", len(m.writes))
	}
	// An earlier decision may still be applied, whatever is decided now.
	for _, second := range []func(tally, uint64) ([]msg.Event, error){none, refuse} {
		m := newModel()
		m.beforeWrite = func(*msg.WriteRequest) error { return lost() }
		decide := func(s tally, v uint64) ([]msg.Event, error) {
			if len(m.writes) > 0 {
				return second(s, v)
			}
			return []msg.Event{{Major: 1}}, nil
		}
		if _, err := writer.Execute(ctx, newWriter(t, m, nil), order, writer.Decision[tally]{Decide: decide}); !msg.Ambiguous(err) {
			t.Error(err)
		}
	}
}

// A write that a node refuses for good is not tried again; one that it puts off is.
func TestRefusalsOfTheNode(t *testing.T) {
	for code, tries := range map[msg.Code]int{msg.CodeSchemaMismatch: 1, msg.CodeReadOnlyKey: 1, msg.CodeRecreateNotAllowed: 1, msg.CodeServerBusy: 3} {
		m := newModel()
		m.beforeWrite = func(*msg.WriteRequest) error { return refusal(code, "{}") }
		sequences := new(writer.MemorySequences)
		_, err := place(newWriter(t, m, sequences))
		if len(m.writes) != tries || msg.Ambiguous(err) || (tries > 1) != msg.SafeToRetry(err) {
			t.Errorf("%v: %d tries, %v", code, len(m.writes), err)
		}
		if open, _ := sequences.OpenClaim(ctx, order.Key, order.ID); open.Set {
			t.Errorf("%v: the claim is open", code)
		}
	}
	m := newModel()
	m.readError = refusal(msg.CodeReadDataBlocks, "{}")
	if _, err := place(newWriter(t, m, nil)); !msg.SafeToRetry(err) || len(m.writes) != 0 {
		t.Error(err)
	}
	m.readError = refusal(msg.CodeClientIDMismatch, "{}")
	if _, err := place(newWriter(t, m, nil)); msg.SafeToRetry(err) || !errors.Is(err, msg.ErrUnauthorized) {
		t.Error(err)
	}
}
