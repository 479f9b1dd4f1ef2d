//go:build redis

package redisstore_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/redis/go-redis/v9"
)

// switching dials what the address stands for now, as a name or a sentinel does.
type switching struct{ address atomic.Value }

func (s *switching) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, s.address.Load().(string))
}

// A replica that lacks the last writes is promoted, by hand.
//
//covers:promoted
func TestReplicaLostWrites(t *testing.T) {
	t.Parallel()
	primary, replica := own(t, "--repl-diskless-sync-delay", "0"), own(t)
	var at switching
	at.address.Store(primary.Address)
	client := redis.NewClient(&redis.Options{Addr: primary.Address, Dialer: at.dial})
	defer client.Close()
	other := connect(t, replica.Address)
	s := open(t, client, redisstore.Options{})
	x, err := newCounted(client)(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	follow(t, other, primary.Address)
	storefaults.LostWrites(t, s, x, storefaults.Promotion{
		CaughtUp: func(ctx context.Context) error { return caughtUp(ctx, client) },
		CutOff:   func(ctx context.Context) error { return other.ReplicaOf(ctx, "NO", "ONE").Err() },
		Promote: func(context.Context) error {
			at.address.Store(replica.Address)
			return primary.Kill()
		},
	})
}

// follow makes a server the replica of another one.
func follow(t *testing.T, replica *redis.Client, primary string) {
	t.Helper()
	host, port, err := net.SplitHostPort(primary)
	if err == nil {
		err = replica.ReplicaOf(t.Context(), host, port).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// caughtUp returns once a replica has the writes of before. One that is not yet in step
// answers nothing, so that the primary is asked again.
func caughtUp(ctx context.Context, primary *redis.Client) error {
	same := primary.Conn() // WAIT is about the writes of its own connection
	defer same.Close()
	for {
		if err := same.Set(ctx, "caught-up", "", 0).Err(); err != nil {
			return err
		}
		n, err := same.Wait(ctx, 1, time.Second).Result()
		if err != nil || n > 0 {
			return err
		}
	}
}

// Sentinel promotes a replica that lacks the last writes, and the client finds it.
func TestSentinelPromotes(t *testing.T) {
	t.Parallel()
	primary, replica := own(t, "--repl-diskless-sync-delay", "0"), own(t)
	other := connect(t, replica.Address)
	follow(t, other, primary.Address)
	first := connect(t, primary.Address)
	if err := caughtUp(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	sentinel, err := dbtest.StartSentinel(t.TempDir(), "checkpoints", primary.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sentinel.Kill() })
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "checkpoints", SentinelAddrs: []string{sentinel.Address}})
	defer client.Close()
	s := open(t, client, redisstore.Options{})
	x, err := newCounted(client)(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	storefaults.LostWrites(t, s, x, storefaults.Promotion{
		CaughtUp: func(ctx context.Context) error { return caughtUp(ctx, first) },
		CutOff: func(ctx context.Context) error {
			// The primary refuses a replica with a password that it does not know.
			if err := other.ConfigSet(ctx, "masterauth", "unknown").Err(); err != nil {
				return err
			}
			return first.Do(ctx, "CLIENT", "KILL", "TYPE", "replica").Err()
		},
		Promote: func(context.Context) error { return primary.Kill() },
	})
}
