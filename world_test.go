package celeriant_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

var (
	org      = msg.IDFromUint64(1)
	typ      = msg.IDFromUint64(2)
	clientID = msg.IDFromUint64(3)
	errStop  = errors.New("stop")
)

func keyOf(n uint64) msg.Key { return msg.Key{Org: org, Type: typ, Aggregate: msg.IDFromUint64(n)} }

// world is a node in memory and a client of it. Its tests run in a bubble of
// testing/synctest, which fails when a goroutine is left at its end.
type world struct {
	t      *testing.T
	node   *celerianttest.Node
	client *celeriant.Client
	store  *checkpoint.Memory
}

func bubble(t *testing.T, test func(w *world), opts ...celeriant.ConnectOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		node := celerianttest.Run(t, celerianttest.Options{InMemory: true})
		w := &world{t: t, node: node, store: checkpoint.NewMemory()}
		var err error
		w.client, err = celeriant.Connect("node:1", append(opts, celeriant.WithDialer(node.DialContext))...)
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		test(w)
	})
}

func (w *world) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.client.Close(ctx); err != nil {
		w.t.Error(err)
	}
}

func (w *world) orders(opts ...celeriant.WatchOption) *celeriant.Observable {
	opts = append([]celeriant.WatchOption{celeriant.WithName("orders"), celeriant.WithCheckpoints(w.store)}, opts...)
	return w.client.Watch(celeriant.Types(org, typ), opts...)
}

func (w *world) write(key uint64, payloads ...string) {
	w.t.Helper()
	for _, p := range payloads {
		events := []msg.Event{{ClientSeq: 1, Major: 1, Value: []byte(p)}}
		if _, err := w.client.WriteEvents(context.Background(), keyOf(key), events, clientID); err != nil {
			w.t.Fatal(err)
		}
	}
}

// stored returns the version stored of an aggregate.
func (w *world) stored(key uint64) uint64 {
	w.t.Helper()
	cursors, err := w.store.Load(context.Background(), "orders", []msg.Key{keyOf(key)})
	if err != nil {
		w.t.Fatal(err)
	}
	return cursors[0].Version
}

// takeOver fences whoever owns the subscription.
func (w *world) takeOver() {
	w.t.Helper()
	claim := checkpoint.Claim{Name: "orders", Scope: celeriant.Types(org, typ).String()}
	if _, err := w.store.Acquire(context.Background(), claim); err != nil {
		w.t.Fatal(err)
	}
}

func describe(c *celeriant.Change) string {
	if c.Kind != celeriant.Batch {
		return c.Kind.String()
	}
	_, n := c.Key.Aggregate.Uint64s()
	return fmt.Sprintf("%d.%d %s", n, c.Batch.Version, c.Batch.Events[0].Value)
}

func text(payload any) string { return string(payload.(*celeriant.Change).Batch.Events[0].Value) }
