//go:build redis

package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
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

// A server that crashes in the middle of transactions, three times: what was
// acknowledged is there, and every effect is there once.
func TestServerIsKilled(t *testing.T) {
	server := own(t, "--appendonly", "yes", "--appendfsync", "always")
	client := connect(t, server.Address)
	s := open(t, client, redisstore.Options{})
	owner := acquire(t, s)
	var acknowledged atomic.Uint64
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() {
		next := to(1, 1)
		next[0].Compare = true
		for ctx.Err() == nil {
			err := s.Transact(ctx, owner, next, count)
			if err != nil && !errors.Is(err, checkpoint.ErrApplied) {
				if checkpoint.IsRefusal(err) {
					t.Errorf("transaction: %v", err)
					return
				}
				// Of unknown outcome: the inquiry tells.
				if n, err := s.Stored(ctx, owner, next); err != nil || n == 0 {
					continue
				}
			}
			acknowledged.Store(next[0].Cursor.Version)
			next[0].From = next[0].Cursor
			next[0].Cursor.Version++
		}
	})
	for range 3 {
		for before := acknowledged.Load(); acknowledged.Load() < before+20 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		if err := errors.Join(server.Kill(), server.Start()); err != nil {
			t.Fatal(err)
		}
	}
	for before := acknowledged.Load(); acknowledged.Load() < before+5 && !t.Failed(); {
		time.Sleep(time.Millisecond)
	}
	stop()
	working.Wait()
	version, applied := stored(t, s, 1), effects(t, client, s)
	if version < acknowledged.Load() || applied != version {
		t.Fatalf("version %d, %d effects, %d acknowledged", version, applied, acknowledged.Load())
	}
}

// switching dials what the address stands for now, as a name or a sentinel does.
type switching struct{ address atomic.Value }

func (s *switching) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, s.address.Load().(string))
}

// A replica that lacks the last writes is promoted: effects and cursors are lost
// together, and so is the last claim. Its owner is fenced, and so is everybody else's
// once somebody claims anew.
func TestReplicaLostWrites(t *testing.T) {
	primary := own(t)
	replica := own(t)
	var at switching
	at.address.Store(primary.Address)
	client := redis.NewClient(&redis.Options{Addr: primary.Address, Dialer: at.dial})
	defer client.Close()
	other := connect(t, replica.Address)
	s := open(t, client, redisstore.Options{})
	first := acquire(t, s)
	next := to(1, 1)
	next[0].Compare = true
	if err := s.Transact(t.Context(), first, next, count); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(primary.Address, ":")
	if err := other.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	caughtUp := open(t, other, redisstore.Options{})
	for effects(t, other, caughtUp) != 1 {
		time.Sleep(time.Millisecond)
	}
	// The replica is cut off, and the primary goes on.
	if err := other.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	second := acquire(t, s)
	next[0].From, next[0].Cursor.Version = next[0].Cursor, 2
	if err := s.Transact(t.Context(), second, next, count); err != nil {
		t.Fatal(err)
	}
	at.address.Store(replica.Address)
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	later := to(1, 3)
	later[0].Compare, later[0].From = true, next[0].Cursor
	if err := s.Transact(t.Context(), second, later, count); !errors.Is(err, checkpoint.ErrFenced) {
		t.Fatalf("under a claim that was lost: %v, want ErrFenced", err)
	}
	if version, applied := stored(t, s, 1), effects(t, other, s); version != 1 || applied != 1 {
		t.Fatalf("version %d, %d effects, want 1 and 1", version, applied)
	}
	third := acquire(t, s)
	for _, zombie := range []checkpoint.Owner{first, second} {
		if err := s.Save(t.Context(), zombie, nil); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("epoch %d: %v, want ErrFenced", zombie.Epoch, err)
		}
	}
	if err := s.Transact(t.Context(), third, next, count); err != nil {
		t.Fatal(err)
	}
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
