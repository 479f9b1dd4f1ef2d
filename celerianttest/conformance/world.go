package conformance

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// world is what one case works with: a pool of its own, and an organisation
// that nobody else uses.
type world struct {
	target  Target
	version int
	pool    *pool.Pool
	shards  uint64
	org     msg.ID
	typ     msg.ID
	client  msg.ID
}

func newWorld(t *testing.T, target Target, version int) *world {
	t.Helper()
	if len(target.Addresses) == 0 {
		t.Fatal("conformance: the target has no address")
	}
	w := &world{target: target, version: version, org: randomID(), typ: randomID(), client: randomID()}
	w.pool = newPool(t, w.options())
	shards, err := w.pool.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.shards = shards
	return w
}

// options are those of a pool that knows the whole target.
func (w *world) options() pool.Options {
	return pool.Options{
		Address: w.target.Addresses[0], SeedAddresses: w.target.Addresses[1:], ProtocolVersion: w.version,
		// A machine that runs the whole suite at once is slow.
		RequestTimeout: 10 * time.Second, ConnectTimeout: 10 * time.Second, FailoverBudget: 40 * time.Second,
	}
}

func newPool(t *testing.T, o pool.Options) *pool.Pool {
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

func randomID() msg.ID { return msg.IDFromUint64s(rand.Uint64(), rand.Uint64()) }

// key returns an aggregate nobody has used.
func (w *world) key() msg.Key { return msg.Key{Org: w.org, Type: w.typ, Aggregate: randomID()} }

// ring is a number of which the shard of an id is a function, whether the
// coordinator shard is reserved or not.
func (w *world) ring() uint64 { return w.shards * max(w.shards-1, 1) }

// sibling returns an aggregate of the same shard, whatever the routing rule.
func (w *world) sibling(of msg.Key) msg.Key {
	for {
		if k := w.key(); k.Aggregate.Mod(w.ring()) == of.Aggregate.Mod(w.ring()) {
			return k
		}
	}
}

// apart returns two aggregates of different shards, whatever the routing rule,
// if there are at least three shards.
func (w *world) apart() (a, b msg.Key) {
	draw := func(rest uint64) msg.ID {
		for {
			if id := randomID(); id.Mod(w.ring()) == rest {
				return id
			}
		}
	}
	return msg.Key{Org: draw(0), Type: draw(0), Aggregate: draw(0)}, msg.Key{Org: draw(1), Type: draw(1), Aggregate: draw(1)}
}

func severalShards(w *world) bool { return w.shards >= 3 }

func event(seq uint64, value string) msg.Event {
	return msg.Event{ClientSeq: seq, Major: 1, Value: []byte(value)}
}

// write appends one batch with an event per value, client sequences from 1.
func (w *world) write(t *testing.T, key msg.Key, values ...string) uint64 {
	t.Helper()
	events := make([]msg.Event, len(values))
	for i, v := range values {
		events[i] = event(uint64(i+1), v)
	}
	version, err := w.pool.WriteEvents(t.Context(), key, events, w.client, pool.WriteOptions{})
	done(t, err)
	return version
}

func (w *world) read(t *testing.T, key msg.Key, filters msg.ReadFilters) *msg.ReadResponse {
	t.Helper()
	page, err := w.pool.Read(t.Context(), &msg.ReadRequest{Key: key, Filters: filters})
	done(t, err)
	return page
}

// all reads every batch of the present life.
func (w *world) all(t *testing.T, key msg.Key) []msg.Batch {
	t.Helper()
	var all []msg.Batch
	for b, err := range w.pool.ReadAll(t.Context(), key, msg.ReadFilters{}) {
		done(t, err)
		all = append(all, b)
	}
	return all
}

func (w *world) details(t *testing.T, key msg.Key) *msg.DetailsResponse {
	t.Helper()
	d, err := w.pool.Details(t.Context(), key)
	done(t, err)
	return d
}

func (w *world) trim(t *testing.T, key msg.Key, keepFrom uint64) {
	t.Helper()
	done(t, w.pool.TrimStart(t.Context(), &msg.TrimStartRequest{Key: key, KeepFrom: keepFrom, ClientID: w.client}))
}

func (w *world) delete(t *testing.T, deletes ...msg.AggregateDelete) {
	t.Helper()
	done(t, w.remove(t, deletes...))
}

func (w *world) remove(t *testing.T, deletes ...msg.AggregateDelete) error {
	return w.pool.Delete(t.Context(), &msg.DeleteRequest{ClientID: w.client, Deletes: deletes})
}

func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused demands the node's refusal with a code, and returns its fields.
func refused(t *testing.T, err error, code msg.Code) msg.ErrorFields {
	t.Helper()
	var server *msg.ServerError
	if !errors.As(err, &server) || server.Code != code {
		t.Fatalf("got %v, want refusal %v", err, code)
	}
	return server.Fields
}

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// values returns the first payload of each batch.
func values(batches []msg.Batch) []string {
	var all []string
	for _, b := range batches {
		all = append(all, string(b.Events[0].Value))
	}
	return all
}

func versions(batches []msg.Batch) []uint64 {
	var all []uint64
	for _, b := range batches {
		all = append(all, b.Version)
	}
	return all
}

// noise returns bytes that no compression makes smaller.
func noise(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}
