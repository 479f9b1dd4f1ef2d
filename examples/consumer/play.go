package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
)

// playground is a node, somebody who writes orders to it, and a service that fails three
// times of ten. None of this is part of a real consumer.
type playground struct {
	node    *celerianttest.Node
	client  *celeriant.Client
	service *httptest.Server
}

func play(ctx context.Context, out io.Writer) (*playground, error) {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		return nil, err
	}
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	go write(ctx, client, out)
	return &playground{node, client, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if rand.N(10) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))}, nil
}

func (p *playground) Close() error {
	p.service.Close()
	return errors.Join(p.client.Close(context.Background()), p.node.Close())
}

func write(ctx context.Context, client *celeriant.Client, out io.Writer) {
	registry := events.MustRegistry(events.JSON[OrderPlaced](1, 0))
	for ctx.Err() == nil {
		time.Sleep(500 * time.Millisecond)
		order, err := registry.New(OrderPlaced{Item: "book"})
		if err == nil {
			key := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(rand.N[uint64](20))}
			_, err = client.WriteEvents(ctx, key, []msg.Event{order}, writerID)
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(out, err)
		}
	}
}
