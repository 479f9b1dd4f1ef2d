//go:build redis

package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/redis/go-redis/v9"
)

// own starts a server of the test's own.
func own(t *testing.T, args ...string) *dbtest.Redis {
	t.Helper()
	s, err := dbtest.StartRedis(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	return s
}

// effects reads the counter that count adds to.
func effects(t *testing.T, client *redis.Client, s *redisstore.Store) uint64 {
	t.Helper()
	text, err := client.HGet(t.Context(), s.Key("orders", "counts"), "events").Result()
	if errors.Is(err, redis.Nil) {
		return 0
	}
	n, err2 := strconv.ParseUint(text, 10, 64)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return n
}

// A server that crashes in the middle of transactions, three times.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	server := own(t, "--appendonly", "yes", "--appendfsync", "always")
	client := connect(t, server.Address)
	s := open(t, client, redisstore.Options{})
	x, err := newCounted(client)(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	crash := func() error { return errors.Join(server.Kill(), server.Start()) }
	storefaults.Crashes(t, s, x, crash, crash, crash)
}

// A server that may evict what is stored is refused.
func TestEviction(t *testing.T) {
	server := own(t, "--maxmemory-policy", "allkeys-lru")
	client := connect(t, server.Address)
	var evicts *redisstore.EvictionError
	if _, err := redisstore.Open(t.Context(), client, redisstore.Options{}); !errors.As(err, &evicts) || evicts.Policy != "allkeys-lru" || evicts.Server != server.Address {
		t.Fatalf("opening: %v", err)
	}
	open(t, client, redisstore.Options{AllowEviction: true})
	for _, policy := range []string{"volatile-lru", "noeviction"} {
		if err := client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
		open(t, client, redisstore.Options{})
	}
}

// A server that is full applies nothing, half a transaction least of all.
func TestServerIsFull(t *testing.T) {
	server := own(t, "--maxmemory-policy", "noeviction")
	client := connect(t, server.Address)
	s := open(t, client, redisstore.Options{})
	owner := acquire(t, s)
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	next := to(1, 1)
	err := s.Transact(t.Context(), owner, next, count)
	if err == nil || checkpoint.IsRefusal(err) || !s.Passing(err) {
		t.Fatalf("a transaction on a full server: %v, want an error that passes", err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if version, applied := stored(t, s, 1), effects(t, client, s); version != 0 || applied != 0 {
		t.Fatalf("version %d, %d effects", version, applied)
	}
	if err := s.Transact(t.Context(), owner, next, count); err != nil {
		t.Fatal(err)
	}
}

// More savers than connections wait for one.
func TestFewConnections(t *testing.T) {
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Address, PoolSize: 1, PoolTimeout: time.Minute})
	defer client.Close()
	s := open(t, client, redisstore.Options{Prefix: prefix()})
	owner := acquire(t, s)
	var savers sync.WaitGroup
	for n := range 16 {
		savers.Go(func() {
			for version := uint64(1); version <= 5; version++ {
				if err := s.Save(t.Context(), owner, to(n, version)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	savers.Wait()
	keys := make([]msg.Key, 16)
	for n := range keys {
		keys[n] = to(n, 0)[0].Key
	}
	cursors, err := s.Load(t.Context(), "orders", keys)
	if err != nil {
		t.Fatal(err)
	}
	for n, c := range cursors {
		if c.Version != 5 {
			t.Errorf("cursor %d at %d", n, c.Version)
		}
	}
}

// A server that has as many connections as it may refuses those beyond, which passes:
// whether its answer is read, or the connection is seen to end before.
func TestServerHasTooManyConnections(t *testing.T) {
	server := own(t)
	first := connect(t, server.Address)
	s := open(t, first, redisstore.Options{})
	owner := acquire(t, s)
	if err := first.ConfigSet(t.Context(), "maxclients", "1").Err(); err != nil {
		t.Fatal(err)
	}
	second := redis.NewClient(&redis.Options{Addr: server.Address, MaxRetries: -1})
	defer second.Close()
	err := second.Ping(t.Context()).Err()
	if err == nil || !s.Passing(err) {
		t.Fatalf("a connection beyond the limit: %v, want an error that passes", err)
	}
	answered := redis.NewClient(&redis.Options{MaxRetries: -1, Protocol: 2, DisableIdentity: true, Dialer: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			for asked := make([]byte, 4096); ; {
				if _, err := theirs.Read(asked); err != nil {
					return
				}
				if _, err := theirs.Write([]byte("-ERR max number of clients reached\r\n")); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}})
	defer answered.Close()
	var answer redis.Error
	if err := answered.Ping(t.Context()).Err(); !errors.As(err, &answer) || !s.Passing(err) {
		t.Fatalf("the answer beyond the limit: %v, want one that passes", err)
	}
	if err := s.Save(t.Context(), owner, to(1, 1)); err != nil {
		t.Fatalf("with the connection that is there: %v", err)
	}
}
