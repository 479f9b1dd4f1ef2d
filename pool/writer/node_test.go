package writer_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/pool/writer"
)

// one decides on one event always.
var one = writer.Decision[int]{
	Apply:  func(n int, b msg.Batch) (int, error) { return n + len(b.Events), nil },
	Decide: func(n int, _ uint64) ([]msg.Event, error) { return []msg.Event{{Major: 1, Timestamp: uint64(n)}}, nil },
}

// On the node, over connections that lose and cut: every command has exactly
// one batch when repeated until it is known, and was decided on the state its
// version says.
func TestCommandsOnAFaultyNode(t *testing.T) {
	n := celerianttest.Run(t, celerianttest.Options{Seed: 3})
	var mu sync.Mutex
	frames := 0
	n.Intercept(func(f *celerianttest.Frame) celerianttest.Verdict {
		mu.Lock()
		defer mu.Unlock()
		frames++
		switch {
		case frames%7 != 0:
			return celerianttest.Pass()
		case frames%2 == 0:
			return celerianttest.CutBefore()
		}
		return celerianttest.CutAfter(20)
	})
	p := open(t, pool.Options{Address: n.Addr(), RequestTimeout: time.Second})
	w := newWriter(t, p, nil)
	const workers, each = 4, 15
	var all sync.WaitGroup
	for worker := range uint64(workers) {
		all.Go(func() {
			for i := range uint64(each) {
				cmd := writer.Command{Key: keyOf(worker % 2), ID: msg.IDFromUint64s(worker+1, i)}
				err := errors.New("never tried")
				for try := 0; err != nil && try < 50; try++ {
					_, err = writer.Execute(ctx, w, cmd, one)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	n.Intercept(nil)
	seen := make(map[msg.ID]bool)
	for aggregate := range uint64(2) {
		count := uint64(0)
		for b, err := range p.ReadAll(ctx, keyOf(aggregate), msg.ReadFilters{}) {
			if err != nil {
				t.Fatal(err)
			}
			e := b.Events[0]
			if seen[e.EventID.Value] || e.Timestamp != count {
				t.Errorf("version %d: command %v again, or decided on %d of %d events", b.Version, e.EventID, e.Timestamp, count)
			}
			seen[e.EventID.Value] = true
			count++
		}
	}
	if len(seen) != workers*each {
		t.Errorf("%d commands applied, want %d", len(seen), workers*each)
	}
}

// Through deletes and recreations of both kinds commands find the version that
// writes are compared with, and sequences above those of lives before.
func TestCommandsThroughLives(t *testing.T) {
	n := celerianttest.Run(t, celerianttest.Options{})
	p := open(t, pool.Options{Address: n.Addr()})
	w := newWriter(t, p, nil)
	id := uint64(0)
	run := func() writer.Outcome {
		t.Helper()
		id++
		out, err := writer.Execute(ctx, w, writer.Command{Key: key, ID: msg.IDFromUint64(id)}, one)
		if err != nil {
			t.Fatalf("command %d: %v", id, err)
		}
		return out
	}
	for _, continued := range []bool{false, true, false} {
		for range 3 {
			run()
		}
		err := p.Delete(ctx, &msg.DeleteRequest{ClientID: me, Deletes: []msg.AggregateDelete{
			{Key: key, AllowRecreate: true, AllowSequenceContinuation: continued},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if out := run(); out.Version != 1 {
		t.Errorf("a fresh life began with %+v", out)
	}
	run()
	if err := p.TrimStart(ctx, &msg.TrimStartRequest{Key: key, KeepFrom: run().Version, ClientID: me}); err != nil {
		t.Fatal(err)
	}
	run()
	if err := p.Delete(ctx, &msg.DeleteRequest{ClientID: me, Deletes: []msg.AggregateDelete{{Key: key}}}); err != nil {
		t.Fatal(err)
	}
	_, err := writer.Execute(ctx, w, writer.Command{Key: key, ID: msg.IDFromUint64(999)}, one)
	if !errors.Is(err, msg.ErrNotRecreatable) || msg.Ambiguous(err) {
		t.Error(err)
	}
	_, err = writer.Execute(ctx, w, writer.Command{Key: keyOf(12), ID: msg.IDFromUint64(999), DenyCreate: true}, one)
	if !errors.Is(err, msg.ErrNotFound) {
		t.Error(err)
	}
}

// Owner tells whose batch holds a sequence, behind a trim floor too.
func TestOwner(t *testing.T) {
	n := celerianttest.Run(t, celerianttest.Options{})
	p := open(t, pool.Options{Address: n.Addr()})
	w := newWriter(t, p, nil)
	for i := range uint64(3) {
		if _, err := w.Append(ctx, writer.Command{Key: key, ID: msg.IDFromUint64(i + 1)}, events(2, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.WriteEvents(ctx, key, []msg.Event{{Major: 1, ClientSeq: 50}}, other, pool.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := p.TrimStart(ctx, &msg.TrimStartRequest{Key: key, KeepFrom: 2, ClientID: me}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key     msg.Key
		seq     uint64
		command uint64
		owner   writer.Ownership
		version uint64
	}{
		{key, 3, 2, writer.OwnedByCommand, 2},
		{key, 3, 1, writer.OwnedByOther, 2},
		{key, 4, 2, writer.OwnedByOther, 2}, // the command's second event
		{key, 5, 3, writer.OwnedByCommand, 3},
		{key, 1, 1, writer.OwnerUnreadable, 0}, // trimmed
		{key, 50, 1, writer.OwnerUnreadable, 0},
		{keyOf(77), 1, 1, writer.OwnerUnreadable, 0},
	} {
		owner, version, err := w.Owner(ctx, c.key, c.seq, msg.IDFromUint64(c.command))
		if owner != c.owner || version != c.version || err != nil {
			t.Errorf("%+v: %v at %d, %v", c, owner, version, err)
		}
	}
}

// Batches that a node returns beside those asked for prove nothing.
func TestOwnerLooksForItself(t *testing.T) {
	m := newModel()
	m.append(other, 1) // its event has the id 1,000,001
	m.append(me, 2)
	w := newWriter(t, unfilteredLog{m}, nil)
	if owner, _, err := w.Owner(ctx, key, 1, msg.IDFromUint64(1_000_001)); owner != writer.OwnerUnreadable || err != nil {
		t.Errorf("%v, %v", owner, err)
	}
}
