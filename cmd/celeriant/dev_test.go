package main_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

var writer = msg.IDFromUint64(7)

// patience is how long an answer may take: a busy machine may stand still for a while.
const patience = 30 * time.Second

func connect(t testing.TB, address string) *pool.Pool {
	t.Helper()
	p, err := pool.New(pool.Options{Address: address, RequestTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		p.Close(ctx)
	})
	return p
}

func aggregate(n uint64) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(n)}
}

func write(t *testing.T, p *pool.Pool, key msg.Key, value string) uint64 {
	t.Helper()
	version, err := p.WriteEvents(t.Context(), key, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(value)}}, writer, pool.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func values(t *testing.T, p *pool.Pool, key msg.Key) string {
	t.Helper()
	var all []string
	for batch, err := range p.ReadAll(t.Context(), key, msg.ReadFilters{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch.Events {
			all = append(all, fmt.Sprintf("%d:%s", batch.Version, e.Value))
		}
	}
	return strings.Join(all, " ")
}

func TestDevTellsWhatItRuns(t *testing.T) {
	folder := t.TempDir()
	line := startDev(t, "--client-port", "0", "--num-shards=3", "--routing-rule", "org_id", "--reserve-coordinator-shard",
		"--data-root", folder, "--quirks", "--json").told(t)
	if _, port, err := net.SplitHostPort(line.Address); err != nil || port == "0" {
		t.Errorf("address %q, want one to connect to", line.Address)
	}
	want := told{Address: line.Address, Shards: 3, RoutingRule: "org_id", Reserve: true, DataRoot: folder, Quirks: true}
	if line != want {
		t.Errorf("dev says %+v, want %+v", line, want)
	}
	shards, err := connect(t, line.Address).Shards(t.Context())
	if err != nil || shards != 3 {
		t.Errorf("the node has %d shards (%v), want 3", shards, err)
	}
}

func TestDevTellsItInWords(t *testing.T) {
	p := startDev(t, "--client-port", "0")
	address, found := strings.CutPrefix(p.first, "celeriant dev: listening on ")
	address, traits, _ := strings.Cut(address, " ")
	if !found || traits != "(1 shard, in memory)\n" {
		t.Fatalf("dev says %q", p.first)
	}
	if v := write(t, connect(t, address), aggregate(1), "x"); v != 1 {
		t.Errorf("first write made version %d", v)
	}
}

func TestDevStopsCleanly(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			p := startDev(t, "--client-port", "0", "--json")
			write(t, connect(t, p.told(t).Address), aggregate(1), "x") // its connection stays open
			if status := p.stop(t, s); status != 0 || p.stderr.Len() != 0 {
				t.Errorf("exit status %d, stderr %q", status, p.stderr)
			}
		})
	}
}

func TestDevKeepsItsDataOverKills(t *testing.T) {
	args := []string{"--client-port", "0", "--num-shards", "2", "--json", "--data-root", filepath.Join(t.TempDir(), "new", "data")}
	const kills, keys = 4, 5
	for run := range kills {
		p := startDev(t, args...)
		client := connect(t, p.told(t).Address)
		for n := range uint64(keys) {
			if run > 0 {
				if got, want := values(t, client, aggregate(n)), history(run); got != want {
					t.Fatalf("after kill %d aggregate %d reads %q, want %q", run, n, got, want)
				}
			}
			if v := write(t, client, aggregate(n), fmt.Sprint(run)); v != uint64(run+1) {
				t.Fatalf("run %d wrote version %d", run, v)
			}
		}
		if status := p.stop(t, os.Kill); status != -1 {
			t.Fatalf("run %d was not killed but ended with %d: %s", run, status, p.stderr)
		}
	}
}

// history is what an aggregate reads after so many runs.
func history(runs int) string {
	var all []string
	for n := range runs {
		all = append(all, fmt.Sprintf("%d:%d", n+1, n))
	}
	return strings.Join(all, " ")
}

func TestDevEnforcesSchemas(t *testing.T) {
	client := connect(t, startDev(t, "--client-port", "0", "--json").told(t).Address)
	for kind, text := range map[msg.SchemaType]string{
		msg.SchemaJSON:     `{"type":"object","required":["name"]}`,
		msg.SchemaAvro:     `{"type":"record","name":"R","fields":[{"name":"name","type":"string"}]}`,
		msg.SchemaProtobuf: "CicKB24ucHJvdG8SAXMiEQoBTRIMCgRuYW1lGAEgASgJYgZwcm90bzM=:s.M", // message M { string name = 1; }
	} {
		req := &msg.RegisterSchemaRequest{
			ClientID: writer, SchemaType: kind, Schema: text,
			Key: msg.SchemaKey{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Major: uint64(kind) + 1},
		}
		bad := *req
		bad.Schema = "no schema"
		if err := client.RegisterSchema(t.Context(), &bad); !errors.Is(err, msg.ErrSchema) {
			t.Errorf("language %d: a broken schema gives %v", kind, err)
		}
		if err := client.RegisterSchema(t.Context(), req); err != nil {
			t.Errorf("language %d: %v", kind, err)
		}
		event := msg.Event{ClientSeq: 1, Major: uint64(kind) + 1, Value: []byte("\x0a\x04")}
		if _, err := client.WriteEvents(t.Context(), aggregate(1), []msg.Event{event}, writer, pool.WriteOptions{}); !errors.Is(err, msg.ErrSchema) {
			t.Errorf("language %d: an event that does not fit gives %v", kind, err)
		}
	}
}

func TestDevRefusesWhatItCannotDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		want   string
		status int
	}{
		"an unknown flag":       {[]string{"--colour", "red"}, "unknown flag --colour", 2},
		"a reference flag":      {[]string{"--s3-enabled"}, "flag --s3-enabled of the reference server has no meaning here", 2},
		"a value left out":      {[]string{"--num-shards"}, "flag --num-shards needs a value", 2},
		"a value that is wrong": {[]string{"--num-shards", "none"}, `"none"`, 2},
		"a value out of range":  {[]string{"--num-shards", "70000"}, "70000", 2},
		"a routing rule":        {[]string{"--routing-rule", "name"}, `"name"`, 2},
		"an argument":           {[]string{"data"}, `"data"`, 2},
		"an address in use":     {[]string{"--client-port", port}, taken.Addr().String(), 1},
		"a hint beside it":      {[]string{"--client-port", port}, "--client-port 0", 1},
		"a file as folder":      {[]string{"--client-port", "0", "--data-root", file}, file, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := command(t, append([]string{"dev"}, c.args...)...)
			if r.status != c.status || r.stdout != "" {
				t.Errorf("exit status %d, stdout %q", r.status, r.stdout)
			}
			if !strings.HasPrefix(r.stderr, "celeriant dev: ") || !strings.Contains(r.stderr, c.want) {
				t.Errorf("stderr %q, want %q in it", r.stderr, c.want)
			}
			if hint := strings.HasSuffix(r.stderr, "See: celeriant dev --help\n"); hint != (c.status == 2) {
				t.Errorf("stderr %q: the hint at the help belongs to a wrong command line, and to nothing else", r.stderr)
			}
		})
	}
}

func TestOneNodePerDataFolder(t *testing.T) {
	folder := t.TempDir()
	startDev(t, "--client-port", "0", "--data-root", folder)
	r := command(t, "dev", "--client-port", "0", "--data-root", folder)
	if r.status != 1 || !strings.Contains(r.stderr, folder) {
		t.Errorf("a second node on the folder: status %d, %q", r.status, r.stderr)
	}
}
