package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
	"github.com/celeriant/celeriant-go/examples/internal/program"
)

// Version 2 shows what version 1 shows, takes its place, and then shows what is written.
func TestVersionsTakeTurns(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := t.TempDir()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	start := func(version int) (*program.Function, string) {
		p := program.Run(t, func(ctx context.Context, out io.Writer) error {
			return run(ctx, node.Addr(), dir, "127.0.0.1:0", version, out)
		})
		return p, p.Await(t, "orders at ")
	}
	first, firstURL := start(1)
	for cents := 1; cents <= 10; cents++ {
		if status := add(t, firstURL, 17, cents, ""); status != http.StatusCreated {
			t.Fatalf("status %d", status)
		}
	}
	second, secondURL := start(2)
	want := order{ID: idOf(17), Items: 10, Cents: 55}
	program.Until(t, "version 2 shows what version 1 does", func() bool { return ordersAt(t, secondURL)[want.ID] == want })

	p, err := open(t.Context(), dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer p.db.Close()
	if _, err := rebuild.CutOver(t.Context(), p.store, p.name, "test"); err != nil {
		t.Fatal(err)
	}
	if status := add(t, secondURL, 17, 11, ""); status != http.StatusCreated {
		t.Errorf("after the cut-over: status %d", status)
	}
	want.Items, want.Cents = 11, 66
	if got := ordersAt(t, secondURL)[want.ID]; got != want {
		t.Errorf("after the cut-over %+v is shown, want %+v", got, want)
	}
	if err := first.End(t); !errors.Is(err, checkpoint.ErrSuperseded) {
		t.Errorf("version 1 ended with %v", err)
	}
	second.Stop(t)
}
