// Package guides holds the code that README.md and docs/ show, so that it is compiled
// and run.
package guides

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/celerianttest/projectiontest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
	_ "modernc.org/sqlite"
)

// An event type, and the registry that knows its number.
type OrderPlaced struct {
	Item string `json:"item"`
}

var orderEvents = events.MustRegistry(events.JSON[OrderPlaced](1, 0))

var org, orderType, me = msg.IDFromUint64(1), msg.IDFromUint64(2), msg.IDFromUint64(3)

const schema = "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, items INTEGER NOT NULL)"

// apply is the projection of the guides: how many items does an order have?
func apply(ctx context.Context, tx *sql.Tx, changes []celeriant.Change) error {
	for _, c := range changes {
		id, err := c.Key.Aggregate.String(), error(nil)
		switch c.Kind {
		case celeriant.Batch:
			_, err = tx.ExecContext(ctx, `INSERT INTO orders VALUES (?, ?)
				ON CONFLICT (id) DO UPDATE SET items = items + excluded.items`, id, len(c.Batch.Events))
		case celeriant.Deleted, celeriant.Reset: // what was built of this order is void
			_, err = tx.ExecContext(ctx, "DELETE FROM orders WHERE id = ?", id)
		}
		if err != nil {
			return operators.At(c, err)
		}
	}
	return nil
}

// project keeps the table until ctx ends.
func project(ctx context.Context, client *celeriant.Client, db *sql.DB) error {
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		return err
	}
	orders := client.Watch(celeriant.Types(org, orderType),
		celeriant.WithName("orders"), celeriant.WithCheckpoints(store))
	return operators.Project(ctx, orders, db, apply)
}

// consume tells a service of every order until ctx ends.
func consume(ctx context.Context, client *celeriant.Client, store checkpoint.Store, ship operators.Handler) error {
	orders := client.Watch(celeriant.Types(org, orderType),
		celeriant.WithName("shipping"), celeriant.WithCheckpoints(store),
		celeriant.WithLeases(),                          // all processes of this name share the work
		celeriant.WithContinuation(stream.ContinueOnly)) // nothing again after a recreation
	return operators.ForEach(ctx, orders,
		operators.Chain(ship, operators.OnlyKinds(celeriant.Batch), operators.Timeout(10*time.Second)),
		operators.WithWorkers(16),
		operators.WithVerdicts(operators.RetryThen(time.Hour, operators.Park)))
}

// follow counts the items of each order in memory, and shows each new count.
func follow(client *celeriant.Client, show func(items any), failed func(error)) {
	items := make(map[msg.Key]int)
	count := func(_ context.Context, item any) (any, error) {
		c := item.(*celeriant.Change)
		if c.Kind == celeriant.Deleted || c.Kind == celeriant.Reset {
			delete(items, c.Key)
		}
		items[c.Key] += len(c.Batch.Events)
		return items[c.Key], nil
	}
	<-client.Watch(celeriant.Orgs(org)).Map(count).ForEach(show, failed, func() {})
}

// place writes an order and waits until the projection shows it.
func place(ctx context.Context, client *celeriant.Client, store checkpoint.Store, order msg.ID) error {
	placed, err := orderEvents.Batch(OrderPlaced{Item: "book"})
	if err != nil {
		return err
	}
	key := msg.Key{Org: org, Type: orderType, Aggregate: order}
	version, err := client.WriteEvents(ctx, key, placed, me)
	if err != nil {
		return err
	}
	return client.Await(ctx, store, "orders", key, version)
}

// connect makes a client of a pair of nodes that reads what it can at the follower.
func connect() (*celeriant.Client, *celeriant.Observable, error) {
	client, err := celeriant.Connect("10.0.0.1:10000", celeriant.WithSeedAddresses("10.0.0.2:10000"))
	if err != nil {
		return nil, nil, err
	}
	orders := client.Watch(celeriant.Types(org, orderType),
		celeriant.WithFollowers(), celeriant.WithMaxLag(2*time.Second))
	return client, orders, nil
}

func openDatabase(t *testing.T) *sql.DB {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "orders.db")+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec(schema); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestOrders(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	db := openDatabase(t)
	ended := make(chan error, 1)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	go func() { ended <- project(ctx, client, db) }()

	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := place(ctx, client, store, msg.IDFromUint64(17)); err != nil {
			t.Fatal(err)
		}
	}
	var items int
	if err := db.QueryRow("SELECT items FROM orders").Scan(&items); err != nil || items != 3 {
		t.Errorf("%d items: %v", items, err)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOrdersWhateverHappens(t *testing.T) {
	open := func() (projectiontest.Instance, error) {
		db := openDatabase(t)
		store, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, sqlstore.Options{})
		return projectiontest.Instance{
			Store: store,
			Run: func(ctx context.Context, orders operators.Source) error {
				return operators.Project(ctx, orders, db, apply)
			},
			Rows: func(ctx context.Context) ([]string, error) { return rows(ctx, db) },
		}, err
	}
	event := func(rng *rand.Rand, aggregate int) msg.Event {
		return msg.Event{Major: 1, Value: fmt.Appendf(nil, `{"item":"book %d"}`, rng.IntN(10))}
	}
	projectiontest.Check(t, open, event, projectiontest.Options{ExactlyOnce: true})
}

// rows is the read model as text.
func rows(ctx context.Context, db *sql.DB) (all []string, err error) {
	found, err := db.QueryContext(ctx, "SELECT id || ': ' || items FROM orders ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var row string
		if err := found.Scan(&row); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, found.Err()
}

func Example() {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, err := os.MkdirTemp("", "guides")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	key := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(17)}
	placed, err := orderEvents.Batch(OrderPlaced{Item: "book"}, OrderPlaced{Item: "pen"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.WriteEvents(ctx, key, placed, me); err != nil {
		log.Fatal(err)
	}
	shipped := make(chan struct{})
	go consume(ctx, client, checkpoint.NewMemory(), func(_ context.Context, c celeriant.Change) error {
		fmt.Println("shipping", len(c.Batch.Events), "items")
		close(shipped)
		return nil
	})
	<-shipped
	following, shown := make(chan struct{}), make(chan any, 10)
	go func() {
		follow(client, func(items any) { shown <- items }, func(err error) { fmt.Println(err) })
		close(following)
	}()
	fmt.Println(<-shown, "items")
	if err := client.Close(ctx); err != nil {
		log.Fatal(err)
	}
	<-following
	// Output:
	// shipping 2 items
	// 2 items
}
