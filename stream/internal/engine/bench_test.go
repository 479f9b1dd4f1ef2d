package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// steady is a live engine and what the shell around it would hold.
type steady struct {
	e         *engine.Engine
	now       time.Time
	delivered checkpoint.Cursor
}

func newSteady(tb testing.TB) *steady { return newSteadyOf(tb, 1) }

func newSteadyOf(tb testing.TB, shards int) *steady {
	s := &steady{now: time.Unix(1_700_000_000, 0), e: engine.New(engine.Options{
		Contains: func(msg.Key) bool { return true }, Parts: 1, Readers: 8, Buffer: 16 << 20, MaxLanes: 100_000,
		Liveness: 15 * time.Second, Healthy: 10 * time.Second, NewBackoff: func() engine.Backoff { return new(doubling) },
	})}
	s.e.Start(s.now)
	s.e.ShardsKnown(s.now, uint64(shards))
	for i := range uint64(shards) {
		s.e.Acked(s.now, link(i), 1, watchedNode)
		s.e.Listed(s.now, i, 1, leaderNode, nil, msg.None[uint64]())
	}
	commands := s.e.Commands()
	if n := len(commands); commands[n-1].Phase != engine.Live {
		tb.Fatal("not live")
	}
	s.e.Recycle(commands)
	return s
}

// one returns the only command there is, a copy, and recycles the slice.
func (s *steady) one(tb testing.TB, kind engine.CommandKind) engine.Command {
	commands := s.e.Commands()
	if len(commands) != 1 || commands[0].Kind != kind {
		tb.Fatalf("%d commands, the first %s; not one of kind %d", len(commands), render(&commands[0]), kind)
	}
	c := commands[0]
	if kind == engine.Deliver {
		s.delivered = c.Changes[0].Cursor
	}
	s.e.Recycle(commands)
	return c
}

// follow takes one batch from its notification to the commit of its cursor.
func (s *steady) follow(tb testing.TB, frame []msg.Notification, cursors []checkpoint.Cursor, page engine.Page, entries []checkpoint.Entry) {
	s.take(tb, frame, cursors, page, entries, 0)
}

// take is follow beside so many lanes.
func (s *steady) take(tb testing.TB, frame []msg.Notification, cursors []checkpoint.Cursor, page engine.Page, entries []checkpoint.Entry, lanes int) {
	s.e.Frame(s.now, link(0), 1, frame)
	s.e.Loaded(s.now, s.one(tb, engine.Load).ID, cursors)
	s.e.PageRead(s.now, s.one(tb, engine.Read).ID, page)
	delivered := s.one(tb, engine.Deliver)
	s.e.Consumed(s.now, delivered.Bytes)
	entries[0] = checkpoint.Entry{Key: a, Cursor: s.delivered}
	s.e.Committed(s.now, entries)
	if s.e.Lanes() != lanes {
		tb.Fatal("the lane did not come to rest")
	}
}

// followed are the inputs of follow: a batch behind a cursor.
func followed() (frame []msg.Notification, cursors []checkpoint.Cursor, page engine.Page, entries []checkpoint.Entry) {
	return []msg.Notification{wrote(a, 4, 4)}, []checkpoint.Cursor{at(0, in("x", 3))},
		engine.Page{Batches: run("x", 3, 4), Authoritative: true}, make([]checkpoint.Entry, 1)
}

// BenchmarkFollow is the whole way of one batch of an aggregate at rest:
// notification, look-up, read, delivery, commit.
func BenchmarkFollow(b *testing.B) {
	s := newSteady(b)
	frame, cursors, page, entries := followed()
	b.ReportAllocs()
	for b.Loop() {
		s.follow(b, frame, cursors, page, entries)
	}
}

// BenchmarkFold is a notification of an aggregate that has work to do already.
func BenchmarkFold(b *testing.B) {
	s := newSteady(b)
	frame := []msg.Notification{wrote(a, 1, 9)}
	s.e.Frame(s.now, link(0), 1, frame)
	b.ReportAllocs()
	for b.Loop() {
		s.e.Frame(s.now, link(0), 1, frame)
	}
}

// TestAllocations holds the steady state to what it needs.
func TestAllocations(t *testing.T) {
	s := newSteady(t)
	frame, cursors, page, entries := followed()
	s.follow(t, frame, cursors, page, entries)
	if n := testing.AllocsPerRun(100, func() { s.follow(t, frame, cursors, page, entries) }); n > 0 {
		t.Errorf("%v allocations for a batch from notification to commit", n)
	}
	s.e.Frame(s.now, link(0), 1, frame)
	if n := testing.AllocsPerRun(100, func() { s.e.Frame(s.now, link(0), 1, frame) }); n > 0 {
		t.Errorf("%v allocations for a notification of a known lane", n)
	}
}
