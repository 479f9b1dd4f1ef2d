package celerianttest_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

func TestDataSurvivesTheProcess(t *testing.T) {
	opts := celerianttest.Options{DataRoot: t.TempDir(), Shards: 2, Validators: testValidators}
	node := start(t, opts)
	p := dial(t, node)
	for n := range uint64(4) {
		p.call(writeTo(key(n), event(1, "a"), event(2, "b")))
		p.call(writeTo(key(n), event(3, "c")))
	}
	p.call(&msg.TrimStartRequest{Key: key(0), KeepFrom: 2, ClientID: writer})
	p.call(&msg.DeleteRequest{ClientID: writer, Deletes: []msg.AggregateDelete{{Key: key(1), AllowRecreate: true}}})
	p.call(&msg.RegisterSchemaRequest{ClientID: writer, Key: msg.SchemaKey{Org: id(1), Type: id(2), Major: 1}, Schema: `{"type":"object"}`})
	p.close()
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}

	opts.Sync = true
	p = dial(t, celerianttest.Run(t, opts))
	p.send(readFrom(key(0), 1))
	if text := p.wantError(msg.CodeVersionUnavailable); text != `{"requested":1,"minimum_available":2}` {
		t.Error(text)
	}
	p.send(readFrom(key(1), 1))
	p.wantError(msg.CodeReadNotFound)
	page := p.call(readFrom(key(2), 1)).(*msg.ReadResponse)
	if len(page.Batches) != 2 || string(page.Batches[0].Events[1].Value) != "b" || page.Batches[1].Events[0].EventSeq != 3 {
		t.Errorf("%+v", page)
	}
	duplicate := writeTo(key(2), event(3, "{}"))
	duplicate.Writes[0].EnforceIdempotency = true
	p.send(duplicate)
	p.wantError(msg.CodeDuplicate)
	for n := range uint64(2) {
		p.send(writeTo(key(n+2), event(4, "no object")))
		p.wantError(msg.CodeSchemaMismatch)
		p.send(writeTo(key(n+2), event(4, "{}")))
		p.want(written(3))
	}
}

func start(t *testing.T, opts celerianttest.Options) *celerianttest.Node {
	t.Helper()
	node, err := celerianttest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// TestTornTail cuts the file at every byte: the node starts with every batch
// that is whole, and goes on from there.
func TestTornTail(t *testing.T) {
	folder := t.TempDir()
	opts := celerianttest.Options{DataRoot: folder, NoCompression: true}
	node := start(t, opts)
	p := dial(t, node)
	log := filepath.Join(folder, "shard_0.log")
	var ends []int64 // of the file after each write
	for i := range uint64(3) {
		p.call(writeTo(key(1), event(i+1, strings.Repeat("x", int(i)*40))))
		info, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, info.Size())
	}
	p.close()
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(log, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		for want < uint64(len(ends)) && ends[want] <= int64(cut) {
			want++
		}
		for range 2 {
			want++
			node := start(t, opts)
			p := dial(t, node)
			p.send(writeTo(key(1), event(9, "")))
			p.want(written(want))
			p.close()
			if err := node.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDamageInTheMiddleIsNotCutAway(t *testing.T) {
	folder := t.TempDir()
	node := start(t, celerianttest.Options{DataRoot: folder})
	p := dial(t, node)
	p.call(writeTo(key(1), event(1, "first payload")))
	p.call(writeTo(key(1), event(2, "second payload")))
	p.close()
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(folder, "shard_0.log")
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	content[bytes.Index(content, []byte("first"))] ^= 1
	if err := os.WriteFile(log, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := celerianttest.Start(celerianttest.Options{DataRoot: folder}); err == nil || !strings.Contains(err.Error(), "shard_0.log") {
		t.Fatalf("a damaged file was opened: %v", err)
	}
	if after, err := os.ReadFile(log); err != nil || !bytes.Equal(after, content) {
		t.Fatalf("the damaged file was changed: %v", err)
	}
}

func TestDataFolderThatCannotBeUsed(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		folder := t.TempDir()
		celerianttest.Run(t, celerianttest.Options{DataRoot: folder})
		if _, err := celerianttest.Start(celerianttest.Options{DataRoot: folder}); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
	})
	t.Run("other settings", func(t *testing.T) {
		folder := t.TempDir()
		if err := start(t, celerianttest.Options{DataRoot: folder, Shards: 2}).Close(); err != nil {
			t.Fatal(err)
		}
		for _, opts := range []celerianttest.Options{{}, {Shards: 2, Routing: msg.RouteByOrg}, {Shards: 2, ReserveCoordinator: true}} {
			opts.DataRoot = folder
			var wrong *celerianttest.OptionError
			if _, err := celerianttest.Start(opts); !errors.As(err, &wrong) || wrong.Option != "DataRoot" {
				t.Errorf("%+v: %v", opts, err)
			}
		}
	})
	t.Run("of the reference server", func(t *testing.T) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "server_meta.toml"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		var wrong *celerianttest.OptionError
		if _, err := celerianttest.Start(celerianttest.Options{DataRoot: folder}); !errors.As(err, &wrong) || wrong.Option != "DataRoot" {
			t.Fatal(err)
		}
	})
	t.Run("not a folder", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := celerianttest.Start(celerianttest.Options{DataRoot: file}); err == nil {
			t.Fatal("a file was taken for a folder")
		}
	})
}
