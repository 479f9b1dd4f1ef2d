package shard_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// said shows notifications in one line: operation, aggregate and numbers.
func said(list []msg.Notification) string {
	line := ""
	for _, n := range list {
		_, number := n.Key.Aggregate.Uint64s()
		line += fmt.Sprintf("%v %d", n.Operation, number)
		if n.From.Set || n.To.Set {
			line += fmt.Sprintf(" %v–%v", n.From, n.To)
		}
		if n.KeepFrom.Set {
			line += fmt.Sprintf(" %v", n.KeepFrom)
		}
		line += ", "
	}
	return line
}

// Section 7.3, one mutation per group.
func TestNotifications(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		n := newNode(t, shard.Options{Quirks: quirks})
		for _, tt := range []struct {
			name string
			do   func()
			want string
		}{
			{"new", func() { n.add(1, 1) }, "create 1, write 1 1–1, "},
			{"more", func() { n.add(1, 2) }, "write 1 2–2, "},
			{"trim", func() { n.do(n.trim(1, 2)) }, "trim 1 2, "},
			{"trim again", func() { n.do(n.trim(1, 2)) }, ""},
			{"delete", func() { n.do(n.delete(1, true, true)) }, "delete 1, "},
			{"refused", func() { n.delete(1, true, true) }, ""},
			{"continuation makes nothing", func() { n.add(1, 3) }, "write 1 3–3, "},
			{"delete again", func() { n.do(n.delete(1, true, false)) }, "delete 1, "},
			{"fresh creates", func() { n.add(1, 4) }, "create 1, write 1 1–1, "},
			{"and jumps", func() { n.add(1, 5) }, "write 1 4–4, "},
		} {
			tt.do()
			expect(t, tt.name, said(n.heard), tt.want)
		}
	})
}

// Section 7.3, one group: classes in order, writes merged across lives, the first of several trims.
func TestGroup(t *testing.T) {
	n := newNode(t, shard.Options{})
	n.add(1, 1)
	n.add(1, 2)
	n.add(2, 1)
	group := func(mutate ...func() *shard.Refusal) string {
		for _, m := range mutate {
			n.clock++
			n.do(m())
		}
		return said(n.Commit(n.Tail()))
	}
	write := func(aggregate uint64) func() *shard.Refusal {
		return func() *shard.Refusal {
			_, no := n.Write(&msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: key(aggregate), Events: events(1)}}}, n.clock)
			return no
		}
	}
	trim := func(aggregate, keepFrom uint64) func() *shard.Refusal {
		return func() *shard.Refusal {
			_, no := n.TrimStart(&msg.TrimStartRequest{Key: key(aggregate), KeepFrom: keepFrom}, n.clock)
			return no
		}
	}
	remove := func(aggregate uint64) func() *shard.Refusal {
		return func() *shard.Refusal {
			_, no := n.Delete(&msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: key(aggregate), AllowRecreate: true}}}, n.clock)
			return no
		}
	}
	expect(t, "writes merge", group(write(1), write(2), write(1), write(1)), "write 1 3–5, write 2 2–2, ")
	expect(t, "classes", group(trim(1, 2), trim(1, 4), remove(2), write(1), write(3)),
		"create 3, write 1 6–6, write 3 1–1, delete 2, trim 1 2, ")
	expect(t, "a delete in between", group(write(1), remove(1), write(1), write(1)), "create 1, write 1 1–8, delete 1, ")
}

// Many aggregates in one group.
func TestLargeGroup(t *testing.T) {
	s := shard.New(shard.Options{Rand: seeded(1)})
	for range 2 {
		for i := range uint64(100) {
			if _, no := s.Write(&msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: key(i), Events: events(1)}}}, 1); no != nil {
				t.Fatal(no)
			}
		}
	}
	heard := s.Commit(s.Tail())
	if len(heard) != 200 {
		t.Fatalf("%d notifications, want 200", len(heard))
	}
	keys := map[msg.Key]bool{}
	var order []msg.Key
	for i, n := range heard {
		if want := (i < 100); want != (n.Operation == msg.OpCreate) {
			t.Fatalf("notification %d is a %v", i, n.Operation)
		}
		if i >= 100 {
			keys[n.Key] = true
			order = append(order, n.Key)
			if n.From != msg.Some[uint64](1) || n.To != msg.Some[uint64](2) {
				t.Errorf("%+v", n)
			}
		}
	}
	if len(keys) != 100 || slices.IsSortedFunc(order, msg.Key.Compare) {
		t.Errorf("%d aggregates, or not shuffled", len(keys))
	}
}

// Nothing is readable before its position is committed, and positions never
// go back.
func TestCommitPositions(t *testing.T) {
	s := shard.New(shard.Options{})
	n := &node{Shard: s, t: t}
	for seq := range uint64(3) {
		if _, no := s.Write(&msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: key(1), Events: events(seq + 1)}}}, 1); no != nil {
			t.Fatal(no)
		}
	}
	expect(t, "nothing committed", n.readFrom(1, 1), `1001 {}`)
	expect(t, "details", n.state(1), `7001 {}`)
	expect(t, "one", said(s.Commit(1)), "create 1, write 1 1–1, ")
	expect(t, "one readable", n.readFrom(1, 1), "1:1 ")
	expect(t, "again", said(s.Commit(1)), "")
	expect(t, "back", said(s.Commit(0)), "")
	expect(t, "beyond the tail", said(s.Commit(99)), "write 1 2–3, ")
	if s.Committed() != 3 || s.Tail() != 3 {
		t.Errorf("committed %d, tail %d", s.Committed(), s.Tail())
	}
}
