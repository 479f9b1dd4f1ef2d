package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/web"
	"github.com/celeriant/celeriant-go/msg"
)

//go:embed page.html
var page []byte

var (
	org      = msg.IDFromUint64(1)
	orders   = msg.IDFromUint64(2)
	writerID = msg.IDFromUint64(3)
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, func(text string) { fmt.Println(text) }); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, say func(string)) (err error) {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close(context.WithoutCancel(ctx))) }()
	s, err := start(client)
	if err != nil {
		return err
	}
	of := org.String() + "/" + orders.String()
	say(fmt.Sprintf("page: http://%s/?type=%s", s.pages.Addr(), url.QueryEscape(of)))
	say(fmt.Sprintf("gRPC: %s, organisation %v, type %v", s.calls.Addr(), org, orders))
	err = write(ctx, client)
	return errors.Join(err, s.stop())
}

// services are the gateway's two listeners.
type services struct {
	server       *gateway.Server
	web          *http.Server
	calls, pages net.Listener
}

// start serves gRPC and the page, both on loopback.
func start(client *celeriant.Client) (*services, error) {
	server, err := gateway.NewServer(client, gateway.Options{DrainDelay: -1, DrainWindow: -1})
	if err != nil {
		return nil, err
	}
	handler, err := web.NewHandler(client, web.Options{Ready: server.Ready})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", handler)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	s := &services{server: server, web: web.NewServer(mux)}
	if s.calls, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if s.pages, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, s.calls.Close())
	}
	go func() { _ = server.Serve(s.calls) }()
	go func() { _ = s.web.Serve(s.pages) }()
	return s, nil
}

func (s *services) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(s.web.Close(), s.server.Shutdown(ctx))
}

// write appends an event to a random order, now and then, until ctx ends.
func write(ctx context.Context, client *celeriant.Client) error {
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		key := msg.Key{Org: org, Type: orders, Aggregate: msg.IDFromUint64(rand.Uint64N(20) + 1)}
		payload, err := json.Marshal(map[string]any{"amount": rand.IntN(1000)})
		if err != nil {
			return err
		}
		event := msg.Event{ClientSeq: n, Major: 1, Timestamp: uint64(time.Now().UnixMilli()), Value: payload}
		if _, err := client.WriteEvents(ctx, key, []msg.Event{event}, writerID); err != nil && ctx.Err() == nil {
			return err
		}
	}
}
