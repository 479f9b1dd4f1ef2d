package bboltstore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/msg"
	"go.etcd.io/bbolt"
)

// A counter and the cursor that says what it counted commit together.
func Example() {
	dir, err := os.MkdirTemp("", "bboltstore")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "app.db"), 0o600, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	ctx := context.Background()
	store, err := bboltstore.New(ctx, db, bboltstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	owner, err := store.Acquire(ctx, checkpoint.Claim{Name: "order counter", Scope: "type orders"})
	if err != nil {
		log.Fatal(err)
	}

	key := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	count := func(batch *msg.Batch) error {
		return db.Update(func(tx *bbolt.Tx) error {
			orders, err := tx.CreateBucketIfNotExists([]byte("orders"))
			if err != nil {
				return err
			}
			var n uint64
			if b := orders.Get([]byte("events")); b != nil {
				n = binary.BigEndian.Uint64(b)
			}
			n += uint64(len(batch.Events))
			if err := orders.Put([]byte("events"), binary.BigEndian.AppendUint64(nil, n)); err != nil {
				return err
			}
			cursor := checkpoint.Cursor{Version: batch.Version, Anchor: checkpoint.AnchorOf(batch)}
			return store.SaveTx(tx, owner, []checkpoint.Entry{{Key: key, Cursor: cursor}})
		})
	}
	for version := uint64(1); version <= 3; version++ {
		if err := count(&msg.Batch{Version: version, Events: make([]msg.Event, 2)}); err != nil {
			log.Fatal(err)
		}
	}

	cursors, err := store.Load(ctx, "order counter", []msg.Key{key})
	if err != nil {
		log.Fatal(err)
	}
	_ = db.View(func(tx *bbolt.Tx) error {
		fmt.Println(binary.BigEndian.Uint64(tx.Bucket([]byte("orders")).Get([]byte("events"))), "events,", cursors[0])
		return nil
	})
	// Output: 6 events, life 0 version 3
}
