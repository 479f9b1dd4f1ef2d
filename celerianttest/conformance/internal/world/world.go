package world

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// World is what one case works with: a pool of its own, and an organisation
// that nobody else uses.
type World struct {
	Server  Server
	Version int
	Pool    *pool.Pool
	Shards  uint64
	Org     msg.ID
	Type    msg.ID
	Client  msg.ID
}

// New makes a world on a server that speaks a version of the protocol. Its pool is
// closed at the end of the test.
func New(t *testing.T, server Server, version int) *World {
	t.Helper()
	if len(server.Addresses) == 0 {
		t.Fatal("conformance: the target has no address")
	}
	w := &World{Server: server, Version: version, Org: RandomID(), Type: RandomID(), Client: RandomID()}
	w.Pool = NewPool(t, w.Options())
	shards, err := w.Pool.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Shards = shards
	return w
}

// Options are those of a pool that knows the whole target.
func (w *World) Options() pool.Options {
	return pool.Options{
		Address: w.Server.Addresses[0], SeedAddresses: w.Server.Addresses[1:], ProtocolVersion: w.Version,
		// A machine that runs the whole suite at once is slow.
		RequestTimeout: 10 * time.Second, ConnectTimeout: 10 * time.Second, FailoverBudget: 40 * time.Second,
	}
}

// NewPool makes a pool that is closed at the end of the test.
func NewPool(t *testing.T, o pool.Options) *pool.Pool {
	t.Helper()
	p, err := pool.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

// RandomID draws an id that nobody else uses.
func RandomID() msg.ID { return msg.IDFromUint64s(rand.Uint64(), rand.Uint64()) }

// Key returns an aggregate nobody has used.
func (w *World) Key() msg.Key { return msg.Key{Org: w.Org, Type: w.Type, Aggregate: RandomID()} }

// ring is a number of which the shard of an id is a function, whether the
// coordinator shard is reserved or not.
func (w *World) ring() uint64 { return w.Shards * max(w.Shards-1, 1) }

// Sibling returns an aggregate of the same shard, whatever the routing rule.
func (w *World) Sibling(of msg.Key) msg.Key {
	for {
		if k := w.Key(); k.Aggregate.Mod(w.ring()) == of.Aggregate.Mod(w.ring()) {
			return k
		}
	}
}

// Apart returns two aggregates of different shards, whatever the routing rule,
// if there are at least three shards.
func (w *World) Apart() (a, b msg.Key) {
	draw := func(rest uint64) msg.ID {
		for {
			if id := RandomID(); id.Mod(w.ring()) == rest {
				return id
			}
		}
	}
	return msg.Key{Org: draw(0), Type: draw(0), Aggregate: draw(0)}, msg.Key{Org: draw(1), Type: draw(1), Aggregate: draw(1)}
}

// SeveralShards reports whether two aggregates can lie apart, see Apart.
func SeveralShards(w *World) bool { return w.Shards >= 3 }

// Event returns an event of type 1.0.
func Event(seq uint64, value string) msg.Event {
	return msg.Event{ClientSeq: seq, Major: 1, Value: []byte(value)}
}

// Write appends one batch with an event per value, client sequences from 1.
func (w *World) Write(t *testing.T, key msg.Key, values ...string) uint64 {
	t.Helper()
	events := make([]msg.Event, len(values))
	for i, v := range values {
		events[i] = Event(uint64(i+1), v)
	}
	version, err := w.Pool.WriteEvents(t.Context(), key, events, w.Client, pool.WriteOptions{})
	Must(t, err)
	return version
}

// Grown writes so many batches of a new aggregate.
func (w *World) Grown(t *testing.T, batches int) msg.Key {
	t.Helper()
	key := w.Key()
	for i := range batches {
		w.Write(t, key, fmt.Sprint(i+1))
	}
	return key
}

// Read returns the first page of the batches that pass the filters.
func (w *World) Read(t *testing.T, key msg.Key, filters msg.ReadFilters) *msg.ReadResponse {
	t.Helper()
	page, err := w.Pool.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: filters})
	Must(t, err)
	return page
}

// All reads every batch of the present life.
func (w *World) All(t *testing.T, key msg.Key) []msg.Batch {
	t.Helper()
	var all []msg.Batch
	for b, err := range w.Pool.ReadAll(t.Context(), key, msg.ReadFilters{}) {
		Must(t, err)
		all = append(all, b)
	}
	return all
}

// Details returns the details of an aggregate.
func (w *World) Details(t *testing.T, key msg.Key) *msg.DetailsResponse {
	t.Helper()
	d, err := w.Pool.Details(t.Context(), key)
	Must(t, err)
	return d
}

// Trim removes the batches below keepFrom.
func (w *World) Trim(t *testing.T, key msg.Key, keepFrom uint64) {
	t.Helper()
	Must(t, w.Pool.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: keepFrom, ClientID: w.Client}))
}

// Delete deletes aggregates in one request.
func (w *World) Delete(t *testing.T, deletes ...msg.AggregateDelete) {
	t.Helper()
	Must(t, w.Remove(t, deletes...))
}

// Remove is Delete for requests that may be refused.
func (w *World) Remove(t *testing.T, deletes ...msg.AggregateDelete) error {
	return w.Pool.Delete(t.Context(), &msg.DeleteRequest{ClientID: w.Client, Deletes: deletes})
}

// Must ends the test if there is an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Refused demands the node's refusal with a code, and returns its fields.
func Refused(t *testing.T, err error, code msg.Code) msg.ErrorFields {
	t.Helper()
	var server *msg.ServerError
	if !errors.As(err, &server) || server.Code != code {
		t.Fatalf("got %v, want refusal %v", err, code)
	}
	return server.Fields
}

// Same compares two values, and goes on.
func Same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// Values returns the first payload of each batch.
func Values(batches []msg.Batch) []string {
	var all []string
	for _, b := range batches {
		all = append(all, string(b.Events[0].Value))
	}
	return all
}

// Versions returns the version of each batch.
func Versions(batches []msg.Batch) []uint64 {
	var all []uint64
	for _, b := range batches {
		all = append(all, b.Version)
	}
	return all
}

// Noise returns bytes that no compression makes smaller.
func Noise(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// Eventually asks again and again until the condition holds.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so after 30 s", what)
		}
	}
}
