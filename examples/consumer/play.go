package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// play starts a node, somebody who writes orders to it, and a service that fails three
// times of ten. None of this is part of a real consumer.
func play(ctx context.Context) (*celerianttest.Node, *httptest.Server, error) {
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		return nil, nil, err
	}
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		return nil, nil, err
	}
	go func() {
		defer client.Close(context.Background())
		for ; ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
			key := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(rand.Uint64N(20))}
			_, _ = client.WriteEvents(ctx, key, []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(`{"item":"book"}`)}}, writerID)
		}
	}()
	return node, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if rand.N(10) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})), nil
}
