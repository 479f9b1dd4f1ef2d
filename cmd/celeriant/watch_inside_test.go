package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

func TestScopes(t *testing.T) {
	id := msg.IDFromUint64
	key := func(org, kind, aggregate uint64) msg.Key {
		return msg.Key{Org: id(org), Type: id(kind), Aggregate: id(aggregate)}
	}
	type flags struct{ orgs, types, aggregates string }
	for f, want := range map[flags]stream.Scope{
		{}:                              stream.Everything(),
		{orgs: "1"}:                     stream.Orgs(id(1)),
		{orgs: "2 1 2"}:                 stream.Orgs(id(1), id(2)),
		{orgs: "1", types: "2 3"}:       stream.Types(id(1), id(2), id(3)),
		{types: "1/3 1/2"}:              stream.Types(id(1), id(2), id(3)),
		{orgs: "1", types: "2 1/3"}:     stream.Types(id(1), id(2), id(3)),
		{orgs: "4 1", types: "2 3"}:     stream.Union(stream.Types(id(1), id(2), id(3)), stream.Types(id(4), id(2), id(3))),
		{orgs: "1", types: "2 4/3 4"}:   stream.Union(stream.Types(id(1), id(2), id(4)), stream.Types(id(4), id(3))),
		{"1", "2", "7 8"}:               stream.Aggregates(key(1, 2, 7), key(1, 2, 8)),
		{"1", "", "2/7"}:                stream.Aggregates(key(1, 2, 7)),
		{"", "1/2", "7"}:                stream.Aggregates(key(1, 2, 7)),
		{"", "", "1/2/7 3/4/7"}:         stream.Aggregates(key(1, 2, 7), key(3, 4, 7)),
		{"1 2", "3", "7"}:               stream.Aggregates(key(1, 3, 7), key(2, 3, 7)),
		{"1", "2", "7 3/8 4/5/6 1/2/7"}: stream.Aggregates(key(1, 2, 7), key(1, 3, 8), key(4, 5, 6)),
	} {
		got, err := (&scopeFlags{strings.Fields(f.orgs), strings.Fields(f.types), strings.Fields(f.aggregates)}).scope()
		if err != nil || got.String() != want.String() {
			t.Errorf("%+v: %v, %v; want %v", f, got, err, want)
		}
	}
	many := func(form string, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(form, i))
		}
		return strings.Join(all, " ")
	}
	for f, want := range map[flags]string{
		{types: "2"}:                        "--type 2 lacks the organisation: add --org, or write ORG/2",
		{aggregates: "7"}:                   "--aggregate 7 lacks the organisation and the type: add --org and --type, or write ORG/TYPE/7",
		{orgs: "1", aggregates: "7"}:        "--aggregate 7 lacks the type: add --type, or write TYPE/7",
		{aggregates: "2/7"}:                 "--aggregate 2/7 lacks the organisation",
		{types: "1/2", aggregates: "2/7"}:   "--aggregate 2/7 lacks the organisation",
		{types: "2", aggregates: "7"}:       "--type 2 lacks the organisation",
		{orgs: "1", types: "1/2"}:           "--org completes nothing, since each --type",
		{orgs: "1", aggregates: "1/2/7"}:    "--org completes nothing, since each --aggregate",
		{types: "1/2", aggregates: "1/2/7"}: "--type completes nothing, since each --aggregate",
		{orgs: "1/2"}:                       `--org "1/2" has 2 parts, want at most 1`,
		{types: "1/2/3"}:                    `--type "1/2/3" has 3 parts, want at most 2`,
		{aggregates: "1/2/3/4"}:             `--aggregate "1/2/3/4" has 4 parts, want at most 3`,
		{orgs: "x"}:                         `--org: "x" is no id`,
		{types: "1/"}:                       `--type: "" is no id`,
		{"1 2", "3", many("%d", 5001)}:      "more than 10000 aggregates",
	} {
		_, err := (&scopeFlags{strings.Fields(f.orgs), strings.Fields(f.types), strings.Fields(f.aggregates)}).scope()
		if err == nil || exitStatus(err) != statusUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60v: %v, want %q", f, err, want)
		}
	}
}

// Names are those that were given, else they differ between scopes and fit
// every store.
func TestPositionNames(t *testing.T) {
	var keys []msg.Key
	for n := range uint64(9) {
		keys = append(keys, msg.Key{Aggregate: msg.IDFromUint64(n)})
	}
	f := new(checkpointFlags)
	var names []string
	for _, scope := range []stream.Scope{stream.Everything(), stream.Orgs(msg.ID{}), stream.Aggregates(keys...), stream.Aggregates(keys[1:]...)} {
		name := f.nameFor(scope)
		if err := checkpoint.CheckName(name); err != nil || slices.Contains(names, name) {
			t.Errorf("%v has name %q, %v", scope, name, err)
		}
		names = append(names, name)
	}
	if f.name = "mine"; f.nameFor(stream.Everything()) != "mine" {
		t.Errorf("mine becomes %q", f.nameFor(stream.Everything()))
	}
}

// failing writes n bytes and then fails.
type failing struct {
	to  io.Writer
	n   int
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	n := min(len(p), f.n)
	f.n -= n
	if f.to != nil {
		f.to.Write(p[:n])
	}
	if n < len(p) {
		return n, f.err
	}
	return n, nil
}

// Whatever part of the lines is written before a failure, positions are those
// of the lines written whole.
func TestPositionsAreThoseOfWholeLines(t *testing.T) {
	const lines = 3
	line := strings.Repeat("x", writeSize/2) + "\n" // so that writes end in the middle of lines
	for n := range lines*len(line) + 1 {
		if n%97 > 0 && n%len(line) > 1 && n%len(line) < len(line)-1 {
			continue // near the ends of lines all, elsewhere some
		}
		p := printout{to: &failing{n: n, err: syscall.EPIPE}}
		for i := range uint64(lines) {
			p.buffer = append(p.buffer, line...)
			p.marks = append(p.marks, mark{len(p.buffer), checkpoint.Entry{Cursor: checkpoint.Cursor{Version: i + 1}}, i != 1})
		}
		err := p.flush(t.Context())
		var got []uint64
		for _, e := range p.written {
			got = append(got, e.Cursor.Version)
		}
		want := map[int][]uint64{0: nil, 1: {1}, 2: {1}, 3: {1, 3}}[n/len(line)] // the second line has no position
		if !slices.Equal(got, want) || (err == nil) != (n == lines*len(line)) || err != nil && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("after %d bytes: positions %v, %v; want %v", n, got, err, want)
		}
		if again := p.flush(t.Context()); err != nil && again != err {
			t.Errorf("after a failure flush says %v", again)
		}
	}
}

// What was written of a line that could not be finished is taken off a file,
// unless somebody else has written behind it.
func TestTornLinesAreTakenBack(t *testing.T) {
	for _, flags := range []int{0, os.O_APPEND} {
		path := filepath.Join(t.TempDir(), "out")
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|flags, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		file.WriteString("whole\nto")
		mend(file, 2)
		file.WriteString("whole\n")
		if text, err := os.ReadFile(path); err != nil || string(text) != "whole\nwhole\n" {
			t.Errorf("the file holds %q, %v", text, err)
		}
		other, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		file.WriteString("to")
		other.WriteString("other\n")
		if flags == 0 {
			mend(file, 2)
			if text, err := os.ReadFile(path); err != nil || string(text) != "whole\nwhole\ntoother\n" {
				t.Errorf("the file holds %q, %v", text, err)
			}
		}
	}
}

// stuck blocks after n bytes until it is released.
type stuck struct {
	n       int
	release chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	if s.n -= len(p); s.n < 0 {
		<-s.release
	}
	return len(p), nil
}

func TestAReaderThatSleepsIsNotWaitedForAtTheEnd(t *testing.T) {
	t.Parallel() // it waits more than it works
	s := &stuck{n: 3 * writeSize, release: make(chan struct{})}
	defer close(s.release)
	p := printout{to: s}
	for i := range uint64(8) {
		p.buffer = append(p.buffer, make([]byte, writeSize/2+1)...)
		p.marks = append(p.marks, mark{len(p.buffer), checkpoint.Entry{Cursor: checkpoint.Cursor{Version: i + 1}}, true})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.flush(ctx); !errors.Is(err, errStuck) || len(p.written) != 5 {
		t.Errorf("%v, %d positions", err, len(p.written))
	}
}

// A watch that lost its position to another one prints nothing more.
func TestNothingIsPrintedThatAnotherOnePrints(t *testing.T) {
	var out strings.Builder
	for cause, want := range map[error]string{checkpoint.ErrFenced: "", io.ErrUnexpectedEOF: "line\n"} {
		out.Reset()
		f := following{out: printout{to: &out, buffer: []byte("line\n")}}
		if err := f.end(t.Context(), cause); !errors.Is(err, cause) || out.String() != want {
			t.Errorf("after %v: %v, printed %q", cause, err, out.String())
		}
	}
}

// broken is a store that saves nothing until it is mended.
type broken struct {
	checkpoint.Store
	mended atomic.Bool
}

func (b *broken) Save(ctx context.Context, owner checkpoint.Owner, entries []checkpoint.Entry) error {
	if !b.mended.Load() {
		return errors.New("no room")
	}
	return b.Store.Save(ctx, owner, entries)
}

// tells hands on what is told, line by line.
type tells chan string

func (w tells) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// A store that fails is tried again, and that is told.
func TestAStoreThatFailsIsTold(t *testing.T) {
	t.Parallel() // it waits more than it works
	node := celerianttest.Run(t, celerianttest.Options{})
	client, err := pool.New(pool.Options{Address: node.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	key := msg.Key{Aggregate: msg.IDFromUint64(1)}
	if _, err := client.WriteEvents(t.Context(), key, []msg.Event{{ClientSeq: 1, Major: 1}}, msg.ID{}, pool.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	store := &broken{Store: checkpoint.NewMemory()}
	told := make(tells, 100)
	r := newReporter(told, "celeriant watch")
	sub, err := stream.Open(t.Context(), stream.FromPool(client), stream.Everything(), stream.Options{Name: "x", Store: store, OnState: r.observe})
	if err != nil {
		t.Fatal(err)
	}
	r.json, r.stats = true, sub.Stats
	go r.run()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	f := following{sub: sub, out: printout{to: io.Discard}, format: formatJSON, report: r}
	go func() { done <- f.run(ctx) }()
	for !strings.Contains(<-told, `"report":"trouble"`) {
	}
	store.mended.Store(true)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := sub.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(nil)
	if cursors, err := store.Load(t.Context(), "x", []msg.Key{key}); err != nil || cursors[0].Version != 1 {
		t.Errorf("stored is %v, %v", cursors, err)
	}
}
