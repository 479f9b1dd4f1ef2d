//go:build redis

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/redis/go-redis/v9"
)

// shared is one server for the tests that do not harm theirs.
var shared = sync.OnceValues(func() (*dbtest.Redis, error) {
	folder, err := os.MkdirTemp("", "redisstore")
	if err != nil {
		return nil, err
	}
	server, err := dbtest.StartRedis(folder)
	if err == nil {
		cleanUp = func() error { return errors.Join(server.Stop(), os.RemoveAll(folder)) }
	}
	return server, err
})

func connect(t testing.TB, address string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func sharedClient(t testing.TB) *redis.Client {
	t.Helper()
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, server.Address)
}

var prefixes atomic.Int64

func prefix() string { return fmt.Sprintf("test%d:", prefixes.Add(1)) }

func fixtures(client redis.UniversalClient) func(testing.TB) checkpointtest.Fixture {
	return func(testing.TB) checkpointtest.Fixture {
		o := redisstore.Options{Prefix: prefix()}
		return checkpointtest.Fixture{
			Open: func(ctx context.Context) (checkpoint.Store, error) {
				return redisstore.Open(ctx, client, o)
			},
			Durable: true, Shared: true, Records: true, Notifies: true,
			Transactor: newCounted(client),
		}
	}
}

func TestStore(t *testing.T) { checkpointtest.Run(t, fixtures(sharedClient(t))) }

func BenchmarkStore(b *testing.B) { checkpointtest.Benchmark(b, fixtures(sharedClient(b))) }

func open(t testing.TB, client redis.UniversalClient, o redisstore.Options) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(t.Context(), client, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func acquire(t testing.TB, s checkpoint.Store) checkpoint.Owner {
	t.Helper()
	owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "everything"})
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

func to(n int, version uint64) []checkpoint.Entry {
	return []checkpoint.Entry{{Key: msg.Key{Aggregate: msg.IDFromUint64(uint64(n))}, Cursor: checkpoint.Cursor{Version: version}}}
}

func save(t testing.TB, s checkpoint.Store, o checkpoint.Owner, entries []checkpoint.Entry) {
	t.Helper()
	if err := s.Save(t.Context(), o, entries); err != nil {
		t.Fatal(err)
	}
}

func stored(t testing.TB, s checkpoint.Store, n int) uint64 {
	t.Helper()
	cursors, err := s.Load(t.Context(), "orders", []msg.Key{to(n, 0)[0].Key})
	if err != nil {
		t.Fatal(err)
	}
	return cursors[0].Version
}

// All keys of a subscription are in one slot of a cluster: they have one hash tag.
func TestKeysShareASlot(t *testing.T) {
	client := sharedClient(t)
	o := redisstore.Options{Prefix: prefix()}
	s := open(t, client, o)
	owner := acquire(t, s)
	save(t, s, owner, to(1, 1))
	tag := func(key string) string {
		_, rest, _ := strings.Cut(key, "{")
		tag, _, ok := strings.Cut(rest, "}")
		if !ok || tag == "" {
			t.Fatalf("key %q has no hash tag", key)
		}
		return tag
	}
	keys, err := client.Keys(t.Context(), o.Prefix+"*").Result()
	if err != nil || len(keys) < 4 {
		t.Fatalf("keys %q, %v", keys, err)
	}
	for _, k := range keys {
		if k != o.Prefix+"names" && tag(k) != tag(s.Key("orders", "counts")) {
			t.Errorf("%q and %q are in different slots", k, s.Key("orders", "counts"))
		}
	}
	if tag(s.Key("orders", "x")) == tag(s.Key("orders2", "x")) {
		t.Error("two subscriptions have one tag")
	}
}

func TestDamage(t *testing.T) {
	client := sharedClient(t)
	for name, harm := range map[string]func(tag string) error{
		"a short claim": func(tag string) error { return client.Set(t.Context(), tag+"own", "\x01abc", 0).Err() },
		"a later claim": func(tag string) error { return client.Set(t.Context(), tag+"own", "\x02abc", 0).Err() },
		"a short cursor": func(tag string) error {
			return client.HSet(t.Context(), tag+"cursors", string(checkpoint.AppendKey(nil, to(1, 1)[0].Key)), "x").Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, client, redisstore.Options{Prefix: prefix()})
			owner := acquire(t, s)
			save(t, s, owner, to(1, 1))
			key := s.Key("orders", "")
			if err := harm(key[:strings.Index(key, "}")+2]); err != nil {
				t.Fatal(err)
			}
			err := s.Save(t.Context(), owner, to(1, 2))
			var damaged *checkpoint.DamagedError
			var version *checkpoint.VersionError
			if !errors.As(err, &damaged) && !errors.As(err, &version) {
				t.Fatalf("saving: %v", err)
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, p := range []string{"a b", "a{b", "é", strings.Repeat("x", 65)} {
		if _, err := redisstore.Open(t.Context(), sharedClient(t), redisstore.Options{Prefix: p}); err == nil {
			t.Errorf("prefix %q was accepted", p)
		}
	}
}
