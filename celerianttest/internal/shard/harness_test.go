package shard_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// node is a shard that commits after each mutation, as a standalone node
// does, with short calls for tests. Its clock is one tick per mutation.
type node struct {
	*shard.Shard
	t     testing.TB
	clock uint64
	heard []msg.Notification // of the last mutation
}

func newNode(t testing.TB, o shard.Options) *node {
	return &node{Shard: shard.New(o), t: t}
}

// both runs a test in either mode.
func both(t *testing.T, run func(t *testing.T, quirks bool)) {
	for _, quirks := range []bool{false, true} {
		t.Run(fmt.Sprintf("quirks=%v", quirks), func(t *testing.T) { run(t, quirks) })
	}
}

func id(n uint64) msg.ID { return msg.IDFromUint64(n) }

func key(n uint64) msg.Key { return msg.Key{Org: id(1), Type: id(2), Aggregate: id(n)} }

// events makes one event for each client sequence, its value naming it.
func events(clientSeqs ...uint64) []msg.Event {
	var list []msg.Event
	for _, n := range clientSeqs {
		list = append(list, msg.Event{ClientSeq: n, Timestamp: 1000 + n, Major: 1, Value: fmt.Appendf(nil, "e%d", n)})
	}
	return list
}

const writer = 7 // the client of all calls that do not name one

func (n *node) write(w ...msg.AggregateWrite) (*msg.WriteResponse, *shard.Refusal) {
	return n.writeAs(writer, w...)
}

func (n *node) writeAs(client uint64, w ...msg.AggregateWrite) (*msg.WriteResponse, *shard.Refusal) {
	n.clock++
	resp, no := n.Write(&msg.WriteRequest{ClientID: id(client), Writes: w}, n.clock)
	n.heard = n.Commit(n.Tail())
	return resp, no
}

// add writes one batch, creating the aggregate if need be, and returns its version.
func (n *node) add(aggregate uint64, clientSeqs ...uint64) uint64 {
	n.t.Helper()
	resp, no := n.write(msg.AggregateWrite{Key: key(aggregate), Events: events(clientSeqs...)})
	if no != nil {
		n.t.Fatalf("write to %d: %v", aggregate, no)
	}
	return resp.MaxVersion.Value
}

func (n *node) delete(aggregate uint64, recreate, carryOn bool) *shard.Refusal {
	return n.deleteAll(msg.AggregateDelete{Key: key(aggregate), AllowRecreate: recreate, AllowSequenceContinuation: carryOn})
}

func (n *node) deleteAll(d ...msg.AggregateDelete) *shard.Refusal {
	n.clock++
	_, no := n.Delete(&msg.DeleteRequest{ClientID: id(8), UserID: msg.Some(id(9)), Deletes: d}, n.clock)
	n.heard = n.Commit(n.Tail())
	return no
}

func (n *node) trim(aggregate, keepFrom uint64) *shard.Refusal {
	n.clock++
	_, no := n.TrimStart(&msg.TrimStartRequest{Key: key(aggregate), KeepFrom: keepFrom, ClientID: id(5)}, n.clock)
	n.heard = n.Commit(n.Tail())
	return no
}

// do fails the test on a refusal.
func (n *node) do(no *shard.Refusal) {
	n.t.Helper()
	if no != nil {
		n.t.Fatal(no)
	}
}

// read returns what a read answers in one line: each batch as
// version:first client sequence, then → and the next version if there is
// one, or the refusal, or "silence".
func (n *node) read(aggregate uint64, f msg.ReadFilters) string {
	resp, answered, no := n.Read(&msg.ReadRequest{Key: key(aggregate), Filters: f})
	switch {
	case no != nil:
		return onWire(no)
	case !answered:
		return "silence"
	}
	line := ""
	for _, b := range resp.Batches {
		line += fmt.Sprintf("%d:%d ", b.Version, b.Events[0].ClientSeq)
	}
	if next, set := resp.NextVersion.Get(); set {
		line += fmt.Sprintf("→%d ", next)
	}
	return line
}

func (n *node) readFrom(aggregate, from uint64) string {
	return n.read(aggregate, msg.ReadFilters{From: from})
}

// state returns details in one line: min-max/event seq, then dead, the flags,
// time and client of the last change.
func (n *node) state(aggregate uint64) string {
	d, no := n.Details(&msg.DetailsRequest{Key: key(aggregate)})
	if no != nil {
		return onWire(no)
	}
	line := fmt.Sprintf("%d-%d/%d", d.MinVersion, d.MaxVersion, d.MaxEventSeq)
	for _, f := range []struct {
		set  bool
		name string
	}{{d.Deleted, " dead"}, {d.AllowRecreate, " recreate"}, {d.AllowSequenceContinuation, " continue"}} {
		if f.set {
			line += f.name
		}
	}
	return line
}

// onWire shows a refusal as the client gets it.
func onWire(no *shard.Refusal) string {
	if no == nil {
		return "ok"
	}
	return fmt.Sprintf("%d %s", no.Code, no.Message)
}

// expect compares one-line results.
func expect(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
