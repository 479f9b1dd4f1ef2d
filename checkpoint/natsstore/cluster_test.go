//go:build faults

package natsstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/natsstore"
	"github.com/celeriant/celeriant-go/internal/dbtest"
	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startCluster starts three servers that form a cluster, each in a process of its own,
// and returns them by their names, and their URLs.
func startCluster(t *testing.T) (servers map[string]*dbtest.Process, urls string) {
	t.Helper()
	var ports []int
	for range 6 {
		text, err := dbtest.FreePort()
		port, err2 := strconv.Atoi(text)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	clients, routes := ports[:3], ports[3:]
	servers = map[string]*dbtest.Process{}
	var addresses []string
	for i := range clients {
		settings, err := json.Marshal(clusterServer{
			Name: "n" + strconv.Itoa(i), Dir: t.TempDir(), Port: clients[i], ClusterPort: routes[i], Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		p := dbtest.NewProcess(clusterReady, syscall.SIGTERM, func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), serverOf+"="+string(settings))
			_, _ = cmd.StdinPipe() // which ends with this process
			return cmd
		})
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Kill() })
		servers["n"+strconv.Itoa(i)] = p
		addresses = append(addresses, "nats://127.0.0.1:"+strconv.Itoa(clients[i]))
	}
	return servers, strings.Join(addresses, ",")
}

// openReplicated opens a store once the cluster has a leader, which answers nobody before.
func openReplicated(t *testing.T, conn *nats.Conn) *natsstore.Store {
	t.Helper()
	for began := time.Now(); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s, err := natsstore.Open(ctx, conn, natsstore.Options{Replicas: 3})
		cancel()
		if err == nil {
			return s
		}
		if time.Since(began) > patience {
			t.Fatal(err)
		}
		time.Sleep(pause)
	}
}

const pause = 50 * time.Millisecond

// The leader of a stream with three replicas is killed in the middle of saves, and after
// it the next one, while the first one comes back.
func TestStreamLeaderIsKilled(t *testing.T) {
	t.Parallel()
	servers, urls := startCluster(t)
	conn := connect(t, urls)
	s := openReplicated(t, conn)
	defer s.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	var dead string
	killLeader := func() error {
		leader := ""
		for began := time.Now(); servers[leader] == nil; time.Sleep(pause) {
			stream, err := js.Stream(t.Context(), "celeriant_checkpoints")
			if err == nil && stream.CachedInfo().Cluster != nil {
				leader = stream.CachedInfo().Cluster.Leader
			}
			if time.Since(began) > patience {
				return fmt.Errorf("the stream is led by %q: %w", leader, err)
			}
		}
		before := dead
		dead = leader
		var err error
		if before != "" {
			err = servers[before].Start()
		}
		t.Logf("%s led and is killed", dead)
		return errors.Join(err, servers[dead].Kill())
	}
	storefaults.Crashes(t, s, nil, killLeader, killLeader)
}
