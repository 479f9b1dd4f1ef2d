package writer_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/pool/writer"
)

var (
	ctx = context.Background()
	me  = msg.IDFromUint64(3)
	key = keyOf(4)
)

func keyOf(n uint64) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(n)}
}

func events(n int, value []byte) []msg.Event {
	all := make([]msg.Event, n)
	for i := range all {
		all[i] = msg.Event{ClientSeq: uint64(i + 1), Major: 1, Value: value}
	}
	return all
}

// open is a pool whose timeouts do not depend on how fast the machine is.
func open(t testing.TB, opts pool.Options) *pool.Pool {
	t.Helper()
	if opts.ConnectTimeout == 0 {
		opts.ConnectTimeout = time.Minute
	}
	if opts.RequestTimeout == 0 {
		opts.RequestTimeout = time.Minute
	}
	p, err := pool.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return p
}

// openSequences opens the file of sequences of me, until the test ends or it is
// closed.
func openSequences(t testing.TB, path string) *writer.FileSequences {
	t.Helper()
	s, err := writer.OpenFileSequences(path, me)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// files is a folder of a test.
type files struct {
	t      testing.TB
	folder string
}

func (f files) path(name string) string { return filepath.Join(f.folder, name) }

func (f files) put(name string, content []byte) string {
	if err := os.WriteFile(f.path(name), content, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return f.path(name)
}
