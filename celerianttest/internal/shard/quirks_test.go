package shard_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// TestQuirksStayWithinBounds: whatever a restart makes readers believe, what
// a client relies on holds: only acknowledged batches are served, each as it
// was acknowledged; reads from 2 on ascend; the lists and the write side know
// what is deleted (section 4.6).
func TestQuirksStayWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &quirky{t: t, shard: shard.New(shard.Options{Quirks: true}), acked: map[msg.Key]map[uint64]uint64{}, dead: map[msg.Key]bool{}, final: map[msg.Key]bool{}}
		t.Repeat(map[string]func(*rapid.T){
			"write":   q.write,
			"delete":  q.delete,
			"trim":    q.trim,
			"restart": func(*rapid.T) { q.shard.Restart() },
			"":        q.check,
		})
	})
}

type quirky struct {
	t     *rapid.T
	shard *shard.Shard
	seq   uint64
	acked map[msg.Key]map[uint64]uint64 // version by client sequence, unique per batch
	dead  map[msg.Key]bool
	final map[msg.Key]bool
}

func (q *quirky) write(t *rapid.T) {
	q.seq++
	k := aggregate(t)
	resp, no := q.shard.Write(&msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: k, Events: events(q.seq)}}}, q.seq)
	if (no != nil) != q.final[k] {
		t.Fatalf("write: %v, deleted for good: %v", no, q.final[k])
	}
	if no == nil {
		if q.acked[k] == nil {
			q.acked[k] = map[uint64]uint64{}
		}
		q.acked[k][q.seq] = resp.MaxVersion.Value
		q.dead[k] = false
		q.shard.Commit(q.shard.Tail())
	}
}

func (q *quirky) alive(k msg.Key) bool { return q.acked[k] != nil && !q.dead[k] }

func (q *quirky) delete(t *rapid.T) {
	k, recreate := aggregate(t), rapid.IntRange(0, 5).Draw(t, "recreate") > 0
	_, no := q.shard.Delete(&msg.DeleteRequest{Deletes: []msg.AggregateDelete{
		{Key: k, AllowRecreate: recreate, AllowSequenceContinuation: rapid.Bool().Draw(t, "continue")}}}, q.seq)
	if (no == nil) != q.alive(k) {
		t.Fatalf("delete: %v, alive: %v", no, q.alive(k))
	}
	if no == nil {
		q.dead[k], q.final[k] = true, !recreate
		q.shard.Commit(q.shard.Tail())
	}
}

func (q *quirky) trim(t *rapid.T) {
	k := aggregate(t)
	_, no := q.shard.TrimStart(&msg.TrimStartRequest{Key: k, KeepFrom: small(t, "keep from")}, q.seq)
	if (no != nil && no.Code == msg.CodeTrimNotFound) == q.alive(k) {
		t.Fatalf("trim: %v, alive: %v", no, q.alive(k))
	}
	q.shard.Commit(q.shard.Tail())
}

func (q *quirky) check(t *rapid.T) {
	list, _ := q.shard.ListAggregates(&msg.ListAggregatesRequest{})
	for _, it := range list.Aggregates {
		if it.Deleted != q.dead[it.Key] {
			t.Fatalf("listed as deleted: %v, want %v", it.Deleted, q.dead[it.Key])
		}
	}
	k := aggregate(t)
	if rapid.Bool().Draw(t, "look") {
		q.checkReads(t, k)
	}
}

func (q *quirky) checkReads(t *rapid.T, k msg.Key) {
	for from := uint64(1); from <= 5; from++ {
		resp, answered, no := q.shard.Read(&msg.ReadRequest{Key: k, Filters: msg.ReadFilters{From: from}})
		if no != nil || !answered {
			continue
		}
		last := uint64(0)
		for _, b := range resp.Batches {
			if version, known := q.acked[k][b.Events[0].ClientSeq]; !known || version != b.Version {
				t.Fatalf("served %+v, acknowledged as %d, %v", b, version, known)
			}
			if from >= 2 && b.Version <= last {
				t.Fatalf("from %d: %d after %d", from, b.Version, last)
			}
			last = b.Version
		}
	}
}
