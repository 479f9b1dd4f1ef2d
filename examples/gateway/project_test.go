package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/gateway/client"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// Project applies each batch once through a gateway, also when two processes believe
// to own the name: the ledger has no unique key that would hide a second effect.
func TestProjectThroughTheGateway(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	store, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(context.Background())
	s, err := start(store)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "model.db")+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE ledger (aggregate INTEGER, version INTEGER)"); err != nil {
		t.Fatal(err)
	}
	positions, err := sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer positions.Close()
	const aggregates, versions = 5, 20
	project := func(ctx context.Context) error {
		c, err := client.Connect(s.calls.Addr().String(), client.Options{})
		if err != nil {
			return err
		}
		defer c.Close()
		source := c.Watch(stream.Types(org, orders), client.WatchOptions{Name: "ledger", Store: positions})
		return operators.Project(ctx, source, db, func(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
			for i := range changes {
				if changes[i].Kind != stream.Batch {
					continue
				}
				_, n := changes[i].Key.Aggregate.Uint64s()
				if _, err := tx.ExecContext(ctx, "INSERT INTO ledger VALUES (?, ?)", n, changes[i].Batch.Version); err != nil {
					return err
				}
			}
			return nil
		})
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	ended := make(chan error, 4)
	for i := range 4 { // each fences the one before, which is still at work
		work.Go(func() { ended <- project(running) })
		for n := range uint64(aggregates) {
			for range versions / 4 {
				event := msg.Event{ClientSeq: 1, Major: 1, Value: []byte{byte(i)}}
				if _, err := store.WriteEvents(ctx, msg.Key{Org: org, Type: orders, Aggregate: msg.IDFromUint64(n + 1)}, []msg.Event{event}, writerID); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var rows, distinct int
	for distinct < aggregates*versions {
		if err := db.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT aggregate * 1000 + version) FROM ledger").Scan(&rows, &distinct); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond) // the projections are at work
	}
	stop()
	work.Wait()
	close(ended)
	for err := range ended {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, checkpoint.ErrFenced) {
			t.Errorf("a projection ended with %v", err)
		}
	}
	if rows != aggregates*versions {
		t.Errorf("%d effects of %d batches", rows, aggregates*versions)
	}
}
