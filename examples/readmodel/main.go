// Readmodel keeps the stock of two shops in memory and shows it live in browsers.
//
//	go run ./examples/readmodel
//
// and open the address it prints. A browser that loses its connection asks for what it
// missed, by Last-Event-ID; one that comes from an earlier run gets the whole stock anew.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

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
		go count(ctx, client)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	stock := &cache{run: msg.NewID().String(), rows: make(map[string]row), news: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /stock", stock)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	web := &http.Server{Handler: mux}
	go func() { _ = web.Serve(listener) }()
	defer web.Close()
	fmt.Fprintf(out, "node at %s, stock at http://%s/\n", address, listener.Addr())

	// No positions are kept: the cache is empty at each start. All three run in order.
	var failure error
	<-client.Watch(celeriant.Orgs(north, south)).
		Map(decode).
		Filter(func(item any) bool { return item != nil }).
		ForEach(func(item any) { stock.update(item.(row)) }, func(err error) { failure = err }, func() {}, rxgo.WithContext(ctx))
	if celeriant.Ended(ctx, failure) {
		return nil
	}
	return failure
}

// decode makes a row of a change; nil if it tells the cache nothing.
func decode(_ context.Context, item any) (any, error) {
	c := item.(*celeriant.Change)
	r := row{Shop: map[msg.ID]string{north: "north", south: "south"}[c.Key.Org], ID: c.Key.Aggregate.String()}
	r.Gone = c.Kind == celeriant.Deleted || c.Kind == celeriant.Reset // what is known of it is void
	decoded, err := operators.DecodeChange(stockEvents, *c)           // nothing, if c is no batch
	for _, e := range decoded {
		if counted, ok := e.Value.(StockCounted); ok { // the last one of the batch counts
			r.Product, r.Pieces = counted.Product, counted.Pieces
		}
	}
	if err != nil || !r.Gone && r.Product == "" {
		return nil, err
	}
	return r, nil
}

// count writes random stock, to have something to see.
func count(ctx context.Context, client *celeriant.Client) {
	for ; ctx.Err() == nil; time.Sleep(300 * time.Millisecond) {
		n := rand.Uint64N(5)
		counted, _ := stockEvents.Batch(StockCounted{[]string{"apples", "bread", "cheese", "dates", "eggs"}[n], rand.IntN(100)})
		key := msg.Key{Org: []msg.ID{north, south}[rand.IntN(2)], Type: productType, Aggregate: msg.IDFromUint64(n)}
		_, _ = client.WriteEvents(ctx, key, counted, writerID) // the next one may do
	}
}
