// Consumer tells a web service of every order, although the service is often away.
//
//	go run ./examples/consumer
//
// starts a node, an unreliable service and a writer of orders to play with, and prints
// how to start a second instance: the two share the work, and when you kill one the other
// takes over. Requests that fail are tried again while other orders go on. An order that
// the service refuses is parked: set aside until somebody releases it.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	name     = "orders to the shop" // of the subscription; positions are stored under it
	database = "/positions.db?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
)

var org, orderType, writerID = msg.IDFromUint64(1), msg.IDFromUint64(2), msg.IDFromUint64(3)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	address := flag.String("address", "", "`host:port` of a node; default: a playground with a node, orders and a service")
	dir := flag.String("dir", "consumer-data", "`folder` of the positions; instances that share the work share it")
	to := flag.String("to", "", "`URL` of the service")
	flag.Parse()
	if *address == "" {
		node, service, err := play(ctx)
		if err != nil {
			log.Fatal(err)
		}
		defer node.Close()
		defer service.Close()
		*address, *to = node.Addr(), service.URL
		fmt.Printf("another instance: go run ./examples/consumer --address %s --to %s --dir %s\n", *address, *to, *dir)
	}
	if err := run(ctx, *address, *dir, *to, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run consumes until ctx ends. The last deferred call runs first.
func run(ctx context.Context, address, dir, to string, out io.Writer) error {
	_ = os.MkdirAll(dir, 0o755) // without it the store cannot be opened
	db, err := sql.Open("sqlite", dir+database)
	if err != nil {
		return err
	}
	defer db.Close()
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		return err
	}
	client, err := celeriant.Connect(address)
	if err != nil {
		return err
	}
	defer client.Close(context.Background()) // it gives our part to the others
	orders := client.Watch(celeriant.Types(org, orderType),
		celeriant.WithName(name), celeriant.WithCheckpoints(store),
		celeriant.WithLeases(),                          // share the work with all of our name
		celeriant.WithContinuation(stream.ContinueOnly)) // tell nothing twice after a recreation
	handler := operators.Chain((&shop{to, out}).tell,
		operators.OnlyKinds(celeriant.Batch), // deletions are no news to this service
		operators.Timeout(5*time.Second))
	err = operators.ForEach(ctx, orders, handler,
		operators.WithWorkers(8),         // eight orders at once, each in order
		operators.WithVerdicts(classify)) // what becomes of failures
	if celeriant.Ended(ctx, err) {
		return nil
	}
	return err
}
