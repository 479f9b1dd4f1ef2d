package shard_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// tail adds one batch that is not committed.
func (n *node) tail(aggregate uint64, seq uint64) {
	n.t.Helper()
	_, no := n.Write(&msg.WriteRequest{ClientID: id(writer), Writes: []msg.AggregateWrite{
		{Key: key(aggregate), Events: events(seq)}}}, n.clock)
	n.do(no)
}

// versions reads what a shard shows of an aggregate.
func (n *node) versions(aggregate uint64) (all []uint64) {
	n.t.Helper()
	resp, _, no := n.Read(&msg.ReadRequest{Key: key(aggregate), Filters: msg.ReadFilters{From: 1}})
	if no != nil {
		return nil
	}
	for _, b := range resp.Batches {
		all = append(all, b.Version)
	}
	return all
}

// TestFollow: what was never committed makes room for the leader's log, also
// in the write side; what was committed stays.
func TestFollow(t *testing.T) {
	both(t, func(t *testing.T, quirks bool) {
		leader, follower := newNode(t, shard.Options{Quirks: quirks}), newNode(t, shard.Options{Quirks: quirks})
		leader.add(1, 1)
		must(t, follower.Follow(leader.Records(0, 0)))
		follower.Commit(follower.Tail())
		follower.tail(1, 7) // its own, as a leader that is being deposed
		follower.tail(2, 7)
		if follower.Holds(leader.Records(0, 0)) == false {
			t.Error("a longer log does not hold its beginning")
		}
		leader.add(1, 2)
		leader.add(1, 3)
		if follower.Holds(leader.Records(0, 0)) {
			t.Error("another log is held")
		}
		must(t, follower.Follow(leader.Records(0, 0)))
		if follower.Tail() != 3 || follower.Committed() != 1 || !follower.Holds(leader.Records(0, 0)) {
			t.Errorf("tail %d, committed %d", follower.Tail(), follower.Committed())
		}
		follower.Commit(3)
		if got := follower.versions(1); len(got) != 3 || got[2] != 3 {
			t.Errorf("versions %v", got)
		}
		if got := follower.versions(2); got != nil {
			t.Errorf("the dropped aggregate shows %v", got)
		}
		if v := follower.add(2, 7); v != 1 {
			t.Errorf("the dropped aggregate goes on at version %d", v)
		}
	})
}

// TestFollowKeepsWhatWasShown: a log that lacks something committed is refused.
func TestFollowKeepsWhatWasShown(t *testing.T) {
	a, b := newNode(t, shard.Options{}), newNode(t, shard.Options{})
	a.add(1, 1)
	a.add(1, 2)
	for _, log := range [][]*shard.Record{nil, a.Records(0, 1), b.Records(0, 0)} {
		if err := a.Follow(log); err == nil || a.Holds(log) {
			t.Errorf("a log of %d records is followed", len(log))
		}
	}
	b.add(1, 1)
	b.add(1, 2)
	if err := a.Follow(b.Records(0, 0)); err == nil || a.Tail() != 2 {
		t.Error("a stranger's log is followed")
	}
}

func TestRepeatNewest(t *testing.T) {
	n := newNode(t, shard.Options{})
	if n.RepeatNewest() {
		t.Error("something is repeated in an empty shard")
	}
	n.add(1, 1)
	n.add(1, 2)
	n.do(n.trim(1, 1))
	n.tail(1, 3)
	if !n.RepeatNewest() {
		t.Error("nothing is repeated")
	}
	n.Commit(n.Tail())
	if got := n.versions(1); len(got) != 4 || got[1] != 2 || got[2] != 2 || got[3] != 3 {
		t.Errorf("versions %v", got)
	}
	n.add(2, 1)
	n.do(n.delete(1, true, true))
	n.RepeatNewest()
	n.add(1, 4)
	if got := n.versions(2); len(got) != 2 {
		t.Errorf("versions %v of another aggregate", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
