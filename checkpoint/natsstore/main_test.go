package natsstore_test

import (
	"errors"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/internal/storefaults"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	serveCluster()
	storefaults.ServeMember(runMember)
	goleak.VerifyTestMain(m,
		// Of the embedded server, for as long as the process lives.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).handleSignals.func1"),
	)
}

// patience is how long a server of the tests is waited for.
const patience = 30 * time.Second

var errNotReady = errors.New("the server is not ready")

// serve starts a server with its data in dir.
func serve(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, StoreDir: dir, JetStream: true, NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
	})
	if err == nil {
		s.Start()
		if !s.ReadyForConnections(patience) {
			err = errNotReady
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stop ends a server.
func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// embedded starts a server on a free port for one test.
func embedded(t testing.TB) *server.Server {
	t.Helper()
	s := serve(t, t.TempDir(), server.RANDOM_PORT)
	t.Cleanup(func() { stop(s) })
	return s
}

func connect(t testing.TB, url string, more ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url, append(more, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	conn.SetClosedHandler(func(*nats.Conn) { close(closed) })
	t.Cleanup(func() {
		conn.Close()
		<-closed
	})
	return conn
}

// portOf returns the port of a server's URL.
func portOf(t testing.TB, address string) int {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// name returns a stream of its own for each call.
func name(n int64) string { return "test_" + strconv.FormatInt(n, 10) }
