// Projection keeps a table of orders in SQLite, exactly once, and serves it over HTTP.
//
//	go run ./examples/projection
//	curl -d '{"item":"book","cents":1250}' http://127.0.0.1:8080/orders/17
//	curl http://127.0.0.1:8080/orders
//
// A POST appends an event to an order, waits until the table shows it, and only then
// answers: callers see what they have written. Kill the program at any moment and start
// it again: it goes on where it was.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool/writer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	address := flag.String("address", "", "`host:port` of a node; default: a node of its own, with its data in --dir")
	dir := flag.String("dir", "projection-data", "`folder` of the database")
	listen := flag.String("listen", "127.0.0.1:8080", "`host:port` to serve HTTP on")
	flag.Parse()
	if err := run(ctx, *address, *dir, *listen, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run projects and serves until ctx ends. What is deferred last ends first.
func run(ctx context.Context, address, dir, listen string, out io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if address == "" { // to play with: a node inside this process
		node, err := celerianttest.Start(celerianttest.Options{DataRoot: filepath.Join(dir, "node")})
		if err != nil {
			return err
		}
		defer node.Close()
		address = node.Addr()
	}
	db, err := openDatabase(ctx, filepath.Join(dir, "orders.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	// Positions are kept in the database of the table. That makes it exactly once: a row
	// and the position behind it are committed together, or neither is.
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		return err
	}
	client, err := celeriant.Connect(address)
	if err != nil {
		return err
	}
	defer client.Close(context.Background()) // it waits for transactions under way
	commands, err := writer.New(client.Pool(), writer.Options{ClientID: writerID})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	s := &server{db: db, commands: commands, waiters: await.New(store, client.Pool().AtLeader())}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{number}", s.add)
	mux.HandleFunc("GET /orders", s.list)
	web := &http.Server{Handler: mux}
	go func() { _ = web.Serve(listener) }()
	defer web.Close()
	fmt.Fprintf(out, "node at %s, orders at http://%s/orders\n", address, listener.Addr())

	orders := client.Watch(celeriant.Types(org, orderType),
		celeriant.WithName(name), celeriant.WithCheckpoints(store))
	err = operators.Project(ctx, orders, db, apply)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil // the end that was asked for
	}
	return err
}
