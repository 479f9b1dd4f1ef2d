// Projection keeps a table of orders in SQLite, exactly once, and serves it over HTTP.
//
//	go run ./examples/projection
//	curl -d '{"item":"book","cents":1250}' http://127.0.0.1:8080/orders/17
//	curl http://127.0.0.1:8080/orders
//
// A POST answers once the table shows what it wrote. Kill the program at any moment and
// start it again: it goes on where it was. Version 2, with the address that the first one
// prints, builds a table beside it from the history. The cut-over gives it the place:
//
//	go run ./examples/projection --version 2 --listen 127.0.0.1:8081 --address …
//	celeriant rebuilds cutover --checkpoint sqlite:projection-data/orders.db --name orders@2
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool/writer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	address := flag.String("address", "", "`host:port` of a node; default: a node of its own, with its data in --dir")
	dir := flag.String("dir", "projection-data", "`folder` of the database")
	listen := flag.String("listen", "127.0.0.1:8080", "`host:port` to serve HTTP on")
	version := flag.Int("version", 1, "version of the table: 2 is built beside 1, and so on")
	flag.Parse()
	if err := run(ctx, *address, *dir, *listen, *version, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run projects and serves until ctx ends. The last deferred call runs first.
func run(ctx context.Context, address, dir, listen string, version int, out io.Writer) error {
	if address == "" { // to play with: a node inside this process
		node, err := celerianttest.Start(celerianttest.Options{DataRoot: dir + "/node"})
		if err != nil {
			return err
		}
		defer node.Close()
		address = node.Addr()
	}
	p, err := open(ctx, dir, version)
	if err != nil {
		return err
	}
	defer p.db.Close()
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
	web := &http.Server{Handler: p.routes(client, commands)}
	go func() { _ = web.Serve(listener) }()
	defer web.Close()
	fmt.Fprintf(out, "node at %s, orders at http://%s/orders\n", address, listener.Addr())
	// A new version never passes the one before, until it takes its place.
	err = operators.Project(ctx, client.Watch(celeriant.Types(org, orderType), celeriant.WithName(p.name),
		celeriant.WithCheckpoints(p.store), celeriant.WithRebuildOf(p.before)), p.db, p.apply)
	if celeriant.Ended(ctx, err) {
		return nil
	}
	return err
}
