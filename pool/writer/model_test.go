package writer_test

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// model is one aggregate as a node keeps it, with the faults a test asks for.
// The model is a writer.Log for one goroutine.
type model struct {
	batches []msg.Batch // the present life
	floor   uint64      // trimmed below this version; 0 is 1
	version uint64      // what writes are compared with
	deleted bool
	floors  map[msg.ID]uint64 // the highest sequence of each client
	writes  []msg.WriteRequest
	ever    []msg.Batch // everything ever applied

	// hidden is how many of the newest batches reads do not show yet.
	hidden int
	// beforeWrite and afterWrite may change the model, or answer in its place.
	beforeWrite, afterWrite func(*msg.WriteRequest) error
	beforeRead              func()
	readError               error
}

func newModel() *model { return &model{floors: make(map[msg.ID]uint64)} }

// lost is an exchange whose answer was lost.
func lost() error {
	return &pool.Error{Op: "write", Mutation: true, Sent: true, Err: pool.ErrConnectionLost}
}

func refusal(code msg.Code, format string, args ...any) error {
	return &pool.Error{Op: "write", Mutation: true, Sent: true,
		Err: msg.NewServerError(&msg.ErrorResponse{Code: code, Message: fmt.Sprintf(format, args...)}, "model")}
}

func (m *model) Write(ctx context.Context, req *msg.WriteRequest) (*msg.WriteResponse, error) {
	m.writes = append(m.writes, *req)
	if ctx.Err() != nil {
		return nil, &pool.Error{Op: "write", Mutation: true, Err: ctx.Err()}
	}
	if m.beforeWrite != nil {
		if err := m.beforeWrite(req); err != nil {
			return nil, err
		}
	}
	version, err := m.apply(req)
	if m.afterWrite != nil {
		if err := m.afterWrite(req); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return &msg.WriteResponse{MaxVersion: msg.Some(version)}, nil
}

// apply is server semantics 3.1: the version first, then the sequence.
func (m *model) apply(req *msg.WriteRequest) (uint64, error) {
	w := req.Writes[0]
	if want, ok := w.ExpectedVersion.Get(); ok && want != m.version {
		return 0, refusal(msg.CodeVersionConflict, `{"expected_version":%d,"current_aggregate_version":%d}`, want, m.version)
	}
	low, high := w.Events[0].ClientSeq, w.Events[0].ClientSeq
	for _, e := range w.Events {
		low, high = min(low, e.ClientSeq), max(high, e.ClientSeq)
	}
	if have := m.floors[req.ClientID]; w.EnforceIdempotency && low <= have {
		return 0, refusal(msg.CodeDuplicate, `{"last_client_seq":%d,"attempted_client_seq":%d}`, have, low)
	}
	m.floors[req.ClientID] = max(m.floors[req.ClientID], high)
	m.version++
	m.deleted = false
	batch := msg.Batch{Version: m.version, ClientID: req.ClientID, ServerTimestamp: uint64(len(m.ever)), Events: slices.Clone(w.Events)}
	m.batches, m.ever = append(m.batches, batch), append(m.ever, batch)
	return m.version, nil
}

// append is somebody's write, always accepted.
func (m *model) append(client msg.ID, seq uint64) {
	w := msg.AggregateWrite{Events: []msg.Event{{ClientSeq: seq, EventID: msg.Some(msg.IDFromUint64(1e6 + seq)), Major: 1}}, DenyCreate: true}
	if _, err := m.apply(&msg.WriteRequest{ClientID: client, Writes: []msg.AggregateWrite{w}}); err != nil {
		panic(err)
	}
}

func (m *model) delete() { m.batches, m.deleted, m.floor = nil, true, 0 }

func (m *model) ReadAll(_ context.Context, _ msg.Key, f msg.ReadFilters) iter.Seq2[msg.Batch, error] {
	return func(yield func(msg.Batch, error) bool) {
		if m.beforeRead != nil {
			m.beforeRead()
		}
		shown := m.batches[:max(len(m.batches)-m.hidden, 0)]
		switch {
		case m.readError != nil:
			yield(msg.Batch{}, m.readError)
			return
		case len(shown) == 0:
			yield(msg.Batch{}, refusal(msg.CodeReadNotFound, "{}"))
			return
		case f.From < m.floor:
			yield(msg.Batch{}, refusal(msg.CodeVersionUnavailable, `{"requested":%d,"minimum_available":%d}`, f.From, m.floor))
			return
		}
		for _, b := range shown {
			if b.Version < f.From || f.IncludeClientID.Set && b.ClientID != f.IncludeClientID.Value {
				continue
			}
			b.Events = slices.DeleteFunc(slices.Clone(b.Events), func(e msg.Event) bool {
				return f.MinClientSeq.Set && e.ClientSeq < f.MinClientSeq.Value || f.MaxClientSeq.Set && e.ClientSeq > f.MaxClientSeq.Value
			})
			if len(b.Events) > 0 && !yield(b, nil) {
				return
			}
		}
	}
}

func (m *model) Details(context.Context, msg.Key) (*msg.DetailsResponse, error) {
	shown := len(m.batches) - m.hidden
	if shown <= 0 && !m.deleted {
		return nil, refusal(msg.CodeDetailsNotFound, "{}")
	}
	d := &msg.DetailsResponse{MaxVersion: m.version, Deleted: m.deleted}
	if shown > 0 {
		newest := m.batches[shown-1]
		d.LastServerTimestamp, d.LastClientID = newest.ServerTimestamp, newest.ClientID
		d.MaxVersion = newest.Version
	}
	return d, nil
}

// applied counts the batches, ever, of a command.
func (m *model) applied(command msg.ID) (n int) {
	for _, b := range m.ever {
		if b.Events[0].EventID == msg.Some(command) {
			n++
		}
	}
	return n
}

// sequences are the first ones of all writes sent.
func (m *model) sequences() (all []uint64) {
	for _, w := range m.writes {
		all = append(all, w.Writes[0].Events[0].ClientSeq)
	}
	return all
}

// unfilteredLog is a node that does not look at filters.
type unfilteredLog struct{ *model }

func (l unfilteredLog) ReadAll(ctx context.Context, key msg.Key, f msg.ReadFilters) iter.Seq2[msg.Batch, error] {
	return l.model.ReadAll(ctx, key, msg.ReadFilters{From: f.From})
}
