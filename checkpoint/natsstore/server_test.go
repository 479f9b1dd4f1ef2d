package natsstore_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

// serverOf is the environment variable that turns the test program into a server of a
// cluster.
const serverOf = "NATSSTORE_TEST_SERVER"

const clusterReady = "the server is ready"

// clusterServer is what serverOf says.
type clusterServer struct {
	Name, Dir         string
	Port, ClusterPort int
	Routes            []int // the cluster's ports
}

// serveCluster runs the server of a cluster, if the environment asks for one, until the
// process that started it ends.
func serveCluster() {
	text := os.Getenv(serverOf)
	if text == "" {
		return
	}
	if err := runClusterServer(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runClusterServer(text string) error {
	var c clusterServer
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	routes := ""
	for _, port := range c.Routes {
		routes += ",nats://127.0.0.1:" + strconv.Itoa(port)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, StoreDir: c.Dir, JetStream: true, NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
		Cluster: server.ClusterOpts{Name: "tests", Host: "127.0.0.1", Port: c.ClusterPort}, Routes: server.RoutesFromStr(routes[1:]),
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		return errNotReady
	}
	fmt.Fprintln(os.Stderr, clusterReady)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
