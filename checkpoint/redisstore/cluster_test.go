//go:build redis

package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/redis/go-redis/v9"
)

// The suite on a cluster, which refuses scripts whose keys are in different slots.
func TestCluster(t *testing.T) {
	server := own(t, "--cluster-enabled", "yes")
	node := connect(t, server.Address)
	if err := node.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for {
		info, err := node.ClusterInfo(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info, "cluster_state:ok") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Address}})
	defer client.Close()
	checkpointtest.Run(t, fixtures(client))
}
