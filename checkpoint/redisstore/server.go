package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// EvictionError refuses a server that may evict the store's keys.
type EvictionError struct {
	Server string
	Policy string
}

// Error names the server and its policy.
func (e *EvictionError) Error() string {
	return fmt.Sprintf("redisstore: %s has maxmemory-policy %s, which evicts keys that are not to be lost: want noeviction, or one of volatile-*", e.Server, e.Policy)
}

// checkServers looks at the policies of all primaries.
func checkServers(ctx context.Context, client redis.UniversalClient, allow bool) error {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			return checkServer(ctx, c, c.Options().Addr, allow)
		})
	}
	name := "the server"
	if c, ok := client.(*redis.Client); ok {
		name = c.Options().Addr
	}
	return checkServer(ctx, client, name, allow)
}

func checkServer(ctx context.Context, client redis.Cmdable, name string, allow bool) error {
	info, err := client.Info(ctx, "memory").Result()
	if err != nil || allow {
		return err
	}
	for line := range strings.Lines(info) {
		policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
		if ok && strings.HasPrefix(policy, "allkeys-") {
			return &EvictionError{Server: name, Policy: policy}
		}
	}
	return nil
}

// passing are the codes of answers that say of the server, not of the request, that it
// cannot answer now.
var passing = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "OOM", "MISCONF", "UNBLOCKED"}

// Passing reports whether an error passes by itself: the connection was lost, the server
// cannot serve right now, or somebody else changed what the handler had read.
func (s *Store) Passing(err error) bool {
	var answer redis.Error
	var network net.Error
	switch {
	case errors.Is(err, errRead), errors.Is(err, errConflict), errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted),
		redis.IsMaxClientsError(err):
		return true
	case errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	case errors.As(err, &answer):
		code, _, _ := strings.Cut(answer.Error(), " ") // the protocol's error code
		return slices.Contains(passing, code)
	}
	return false
}
