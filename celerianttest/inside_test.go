package celerianttest

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/internal/disk"
	"github.com/celeriant/celeriant-go/celerianttest/internal/replica"
	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// ask sends one request to a node on a connection of its own.
func ask(t *testing.T, n *Node, req msg.Request) msg.Response {
	t.Helper()
	socket, err := n.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	frame, err := wire.AppendRequest(nil, wire.V3, req, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Write(frame); err != nil {
		t.Fatal(err)
	}
	h, body, err := wire.ReadResponseFrame(socket, 0, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := wire.DecodeResponse(h.Version, msg.ResponseType(h.Type), body)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

var insideKey = msg.Key{Aggregate: msg.IDFromUint64(1)}

func aWrite() *msg.WriteRequest {
	return &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: insideKey, Events: []msg.Event{{ClientSeq: 1, Major: 1}}}}}
}

// TestNodeThatDoesNotAccept: its refusal comes after routing and before any
// look at the request, and reads go on.
func TestNodeThatDoesNotAccept(t *testing.T) {
	n := Run(t, Options{})
	ask(t, n, aWrite())
	mutations := map[msg.Code]msg.Request{
		msg.CodeWriteNotLeader:  &msg.WriteRequest{Writes: []msg.AggregateWrite{{Key: insideKey, DenyCreate: true}}}, // no events: 2000 from a leader
		msg.CodeTrimNotLeader:   &msg.TrimStartRequest{},                                                             // missing aggregate: 3000
		msg.CodeDeleteNotLeader: &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{}}},                              // 4000
		msg.CodeSchemaNotLeader: &msg.RegisterSchemaRequest{SchemaType: 9},                                           // 2024
	}
	for _, test := range []struct {
		role replica.Role
		text string
	}{
		{replica.Role{}, "{}"},
		{replica.Role{Leader: "10.0.0.1:10000"}, `{"leader_address":"10.0.0.1:10000"}`},
	} {
		n.server.Role.Store(&test.role)
		for code, req := range mutations {
			failure, ok := ask(t, n, req).(*msg.ErrorResponse)
			if !ok || failure.Code != code || failure.Message != test.text {
				t.Errorf("%T: %+v, want %v %s", req, failure, code, test.text)
			}
		}
		if failure, ok := ask(t, n, &msg.WriteRequest{}).(*msg.ErrorResponse); !ok || failure.Code != msg.CodeRouting {
			t.Errorf("routing does not come first: %+v", failure)
		}
		if _, ok := ask(t, n, &msg.ReadRequest{Key: insideKey, Filters: msg.ReadFilters{From: 1}}).(*msg.ReadResponse); !ok {
			t.Error("a read was refused")
		}
	}
}

// TestFileThatFails: what could not be stored is never shown, and nothing is
// accepted until a restart.
func TestFileThatFails(t *testing.T) {
	n := Run(t, Options{DataRoot: t.TempDir(), Shards: 2})
	ask(t, n, aWrite())
	r := n.server.Replicas[1]
	r.Storing.Lock()
	working := r.File.File
	broken, err := disk.OpenLog(t.TempDir()+"/other", false, func(*shard.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	r.File.File = broken.File
	r.Storing.Unlock()

	for _, test := range []struct {
		code msg.Code
		req  msg.Request
	}{
		{msg.CodeWriteSync, aWrite()}, // the one that meets the failure; the others are not even tried
		{msg.CodeWriteSync, aWrite()},
		{msg.CodeTrimSync, &msg.TrimStartRequest{Key: insideKey, KeepFrom: 1}},
		{msg.CodeDeleteSync, &msg.DeleteRequest{Deletes: []msg.AggregateDelete{{Key: insideKey}}}},
		{msg.CodeSchemaPartial, &msg.RegisterSchemaRequest{Key: msg.SchemaKey{Major: 1}}},
	} {
		failure, ok := ask(t, n, test.req).(*msg.ErrorResponse)
		if !ok || failure.Code != test.code || !json.Valid([]byte(failure.Message)) {
			t.Errorf("%T: %+v, want %v", test.req, failure, test.code)
		}
	}
	read := func() int {
		page, ok := ask(t, n, &msg.ReadRequest{Key: insideKey, Filters: msg.ReadFilters{From: 1}}).(*msg.ReadResponse)
		if !ok {
			return 0
		}
		return len(page.Batches)
	}
	if got := read(); got != 1 {
		t.Errorf("%d batches are shown, 1 was stored", got)
	}
	r.File.File = working
	if err := n.Restart(); err != nil {
		t.Fatal(err)
	}
	if resp, ok := ask(t, n, aWrite()).(*msg.WriteResponse); !ok || resp.MaxVersion != msg.Some[uint64](2) || read() != 2 {
		t.Errorf("after the restart: %+v", resp)
	}
}
