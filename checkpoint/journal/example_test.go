package journal_test

import (
	"context"
	"fmt"
	stdlog "log"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/journal"
)

// A log of one's own becomes a checkpoint store; this one is in memory.
func Example() {
	ctx := context.Background()
	store := journal.New(&log{storage: newStorage()}, journal.Options{})
	defer store.Close()

	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: "mail", Scope: "everything"})
	if err != nil {
		stdlog.Fatal(err)
	}
	if err := store.Save(ctx, owner, to(1, 3)); err != nil {
		stdlog.Fatal(err)
	}
	for entry, err := range store.Scan(ctx, "mail") {
		if err != nil {
			stdlog.Fatal(err)
		}
		fmt.Println(entry.Cursor)
	}
	// Output: life 0 version 3
}
