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

// An aggregate whose event cannot be handled is parked, in the same mutation as
// the cursors of what was handled. Somebody asks for its release, and the owner
// carries that out.
func ExampleMutation_Park() {
	ctx := context.Background()
	store := checkpoint.NewMemory()
	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: "type orders"})
	if err != nil {
		log.Fatal(err)
	}
	good := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	bad := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(4)}

	m := checkpoint.Mutation{
		Owners:  []checkpoint.Owner{owner},
		Entries: []checkpoint.Entry{{Key: good, Cursor: checkpoint.Cursor{Version: 5}}},
	}
	m.Park(checkpoint.Parked{Key: bad, Version: 1, Attempts: 20, Error: checkpoint.ErrorText(errors.New("no such customer"))}, 0)
	if err := store.Apply(ctx, "orders", m); err != nil {
		log.Fatal(err)
	}

	// A command-line tool, say:
	for p, err := range checkpoint.ListParked(ctx, store, "orders") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("version %d after %d attempts: %s\n", p.Version, p.Attempts, p.Error)
		if err := checkpoint.RequestParked(ctx, store, "orders", p, checkpoint.ActionRelease, "on call"); err != nil {
			log.Fatal(err)
		}
	}

	// The owner, at its next look:
	control, _, err := checkpoint.LoadControl(ctx, store, "orders")
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range control.Parked {
		if p.Request != nil {
			released := checkpoint.Mutation{Owners: []checkpoint.Owner{owner}}
			released.Unpark(p)
			fmt.Println(p.Request.Action, "for", p.Request.By, store.Apply(ctx, "orders", released))
		}
	}
	// Output:
	// version 1 after 20 attempts: no such customer
	// release for on call <nil>
}
