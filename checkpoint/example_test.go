package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// A subscription saves how far it has come and finds it again after a restart.
func ExampleOpenFile() {
	parent, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "checkpoints")
	ctx := context.Background()
	order := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}

	store, err := checkpoint.OpenFile(ctx, dir, checkpoint.FileOptions{})
	if err != nil {
		log.Fatal(err)
	}
	first, err := store.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: "type orders"})
	if err != nil {
		log.Fatal(err)
	}
	batch := msg.Batch{Version: 7, Events: []msg.Event{{Major: 1, Value: []byte("shipped")}}}
	cursor := checkpoint.Cursor{Version: batch.Version, Anchor: checkpoint.AnchorOf(&batch)}
	if err := store.Save(ctx, first, []checkpoint.Entry{{Key: order, Cursor: cursor}}); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	// The next process takes over.
	store, err = checkpoint.OpenFile(ctx, dir, checkpoint.FileOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: "type orders"}); err != nil {
		log.Fatal(err)
	}
	cursors, err := store.Load(ctx, "orders", []msg.Key{order})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cursors[0], "same batch:", cursors[0].Anchor == checkpoint.AnchorOf(&batch))

	// The former owner is fenced.
	err = store.Save(ctx, first, []checkpoint.Entry{{Key: order, Cursor: checkpoint.Cursor{Version: 8}}})
	fmt.Println(errors.Is(err, checkpoint.ErrFenced))
	// Output:
	// life 0 version 7 same batch: true
	// true
}
