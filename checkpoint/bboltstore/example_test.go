package bboltstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
	"go.etcd.io/bbolt"
)

// A read model in the database of the cursors: the number of events of each order, each
// batch applied exactly once.
func Example() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer client.Close(ctx)
	order := msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}
	for range 3 {
		events := []msg.Event{{ClientSeq: 1, Major: 1}, {ClientSeq: 2, Major: 1}}
		if _, err := client.Pool().WriteEvents(ctx, order, events, msg.IDFromUint64(7), pool.WriteOptions{}); err != nil {
			fmt.Println(err)
			return
		}
	}

	dir, err := os.MkdirTemp("", "bboltstore")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "app.db"), 0o600, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	store, err := bboltstore.New(ctx, db, bboltstore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	enough := errors.New("enough")
	running, stop := context.WithCancelCause(ctx)
	orders := client.Watch(celeriant.Types(order.Org, order.Type), celeriant.WithName("counts"), celeriant.WithCheckpoints(store))
	err = operators.ProjectIn(running, orders, store, func(_ context.Context, tx *bbolt.Tx, changes []stream.Change) error {
		counts, err := tx.CreateBucketIfNotExists([]byte("counts"))
		if err != nil {
			return err
		}
		for _, c := range changes {
			switch c.Kind {
			case stream.Batch:
				n := uint64(len(c.Batch.Events))
				if b := counts.Get(c.Key.Aggregate[:]); b != nil {
					n += binary.BigEndian.Uint64(b)
				}
				err = counts.Put(c.Key.Aggregate[:], binary.BigEndian.AppendUint64(nil, n))
			case stream.Deleted, stream.Reset: // what was counted is void
				err = counts.Delete(c.Key.Aggregate[:])
			case stream.CaughtUp:
				stop(enough)
			}
			if err != nil {
				return operators.At(c, err)
			}
		}
		return nil
	})
	fmt.Println(errors.Is(err, enough))
	_ = db.View(func(tx *bbolt.Tx) error {
		fmt.Println(binary.BigEndian.Uint64(tx.Bucket([]byte("counts")).Get(order.Aggregate[:])), "events")
		return nil
	})
	// Output:
	// true
	// 6 events
}
