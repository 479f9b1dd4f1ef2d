// Readmodel keeps the stock of two shops in memory and shows it live in browsers.
//
//	go run ./examples/readmodel
//
// and open the address it prints. A browser that loses its connection asks for what it
// missed, by Last-Event-ID. One that was away for too long, or comes from an earlier run,
// gets the whole stock anew; so does one that is too slow, and it holds up nobody.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/reactivex/rxgo/v2"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
)

//go:embed page.html
var page []byte

// The two shops are organisations, their products aggregates.
var north, south, productType, writerID = msg.IDFromUint64(1), msg.IDFromUint64(2), msg.IDFromUint64(3), msg.IDFromUint64(4)

// StockCounted is the event: so many pieces of a product are there.
type StockCounted struct {
	Product string `json:"product"`
	Pieces  int    `json:"pieces"`
}

var stockEvents = events.MustRegistry(events.JSON[StockCounted](1, 0))

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	address := flag.String("address", "", "`host:port` of a node; default: a node of its own, with random stock")
	listen := flag.String("listen", "127.0.0.1:8080", "`host:port` to serve HTTP on")
	flag.Parse()
	if err := run(ctx, *address, *listen, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run follows and serves until ctx ends. The last deferred call runs first.
func run(ctx context.Context, address, listen string, out io.Writer) error {
	playing := address == ""
	if playing { // to play with: a node inside this process
		node, err := celerianttest.Start(celerianttest.Options{})
		if err != nil {
			return err
		}
		defer node.Close()
		address = node.Addr()
	}
	client, err := celeriant.Connect(address)
	if err != nil {
		return err
	}
	defer client.Close(context.Background())
	if playing {
		go count(ctx, client, out)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	stock := newCache()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stock", stock.serve)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	web := &http.Server{Handler: mux}
	go func() { _ = web.Serve(listener) }()
	defer web.Close()
	fmt.Fprintf(out, "node at %s, stock at http://%s/\n", address, listener.Addr())

	// The cache is empty at each start, so no positions are kept: everything is read from
	// the beginning. Map and Filter run in order, ForEach updates the cache.
	var failure error
	<-client.Watch(celeriant.Orgs(north, south)).
		Map(decode).
		Filter(func(item any) bool { return item != nil }).
		ForEach(
			func(item any) { stock.update(item.(update)) },
			func(err error) { failure = err },
			func() {},
			rxgo.WithContext(ctx))
	if ctx.Err() != nil && (failure == nil || errors.Is(failure, context.Cause(ctx))) {
		return nil // the end that was asked for
	}
	return failure
}

// decode makes an update of a change; nil if it tells the cache nothing.
func decode(_ context.Context, item any) (any, error) {
	c := item.(*celeriant.Change)
	u := update{Shop: "north", ID: c.Key.Aggregate.String()}
	if c.Key.Org == south {
		u.Shop = "south"
	}
	if c.Kind == celeriant.Deleted || c.Kind == celeriant.Reset {
		u.Gone = true // what is known of the product is void
		return u, nil
	}
	decoded, err := operators.DecodeChange(stockEvents, *c)
	if err != nil {
		return nil, err
	}
	known := false
	for _, e := range decoded {
		if counted, ok := e.Value.(StockCounted); ok { // the last one of the batch counts
			u.Product, u.Pieces, known = counted.Product, counted.Pieces, true
		}
	}
	if !known {
		return nil, nil
	}
	return u, nil
}
