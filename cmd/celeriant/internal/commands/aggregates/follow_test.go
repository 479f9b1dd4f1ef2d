package aggregates

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// A watch that lost its position to another one prints nothing more.
func TestNothingIsPrintedThatAnotherOnePrints(t *testing.T) {
	var out strings.Builder
	for cause, want := range map[error]string{checkpoint.ErrFenced: "", io.ErrUnexpectedEOF: "line\n"} {
		out.Reset()
		f := following{out: cli.Printout{To: &out, Buffer: []byte("line\n")}}
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
	server := celerianttest.Run(t, celerianttest.Options{})
	client, err := pool.New(pool.Options{Address: server.Addr()})
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
	r := node.NewReporter(told, "celeriant watch")
	sub, err := stream.Open(t.Context(), stream.FromPool(client), stream.Everything(), stream.Options{Name: "x", Store: store, OnState: r.Observe})
	if err != nil {
		t.Fatal(err)
	}
	r.JSON, r.Stats = true, sub.Stats
	go r.Run()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	f := following{sub: sub, out: cli.Printout{To: io.Discard}, format: formatJSON, report: r}
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
	r.End(nil)
	if cursors, err := store.Load(t.Context(), "x", []msg.Key{key}); err != nil || cursors[0].Version != 1 {
		t.Errorf("stored is %v, %v", cursors, err)
	}
}
