//go:build python

package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// python is the interpreter with grpcio and grpcio-tools.
func python(t testing.TB) string {
	t.Helper()
	path := os.Getenv("CELERIANT_PYTHON")
	if path == "" {
		t.Fatal("CELERIANT_PYTHON names no Python with grpcio and grpcio-tools: .ci/run makes one")
	}
	return path
}

// stubs generates the client code into a folder of the test's own.
func stubs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	protos := filepath.Join("..", "..", "gateway", "proto")
	files, err := filepath.Glob(filepath.Join(protos, "celeriant", "gateway", "v1", "*.proto"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	args := append([]string{"-m", "grpc_tools.protoc", "-I", protos, "--python_out", dir, "--grpc_python_out", dir}, files...)
	if out, err := exec.Command(python(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

type pythonWorld struct {
	t        testing.TB
	client   *celeriant.Client
	services *services
	stubs    string
	database string
}

func newPythonWorld(t testing.TB) *pythonWorld {
	t.Helper()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s, err := start(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.stop() })
	return &pythonWorld{t, client, s, stubs(t), filepath.Join(t.TempDir(), "counts.db")}
}

// run starts a client process, which the end of the test kills.
func (w *pythonWorld) run() (kill func()) {
	w.t.Helper()
	c := exec.Command(python(w.t), "client.py", w.services.calls.Addr().String(), w.database, org.String(), orders.String())
	c.Env = append(os.Environ(), "PYTHONPATH="+w.stubs)
	var output bytes.Buffer
	c.Stdout, c.Stderr = &output, &output
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(ended)
	}()
	kill = func() {
		select {
		case <-ended:
			w.t.Errorf("the client ended by itself: %s", output.String())
		default:
		}
		_ = c.Process.Kill()
		<-ended
		if w.t.Failed() {
			w.t.Logf("the client said: %s", output.String())
		}
	}
	return kill
}

func (w *pythonWorld) write(n uint64, sizes ...int) {
	w.t.Helper()
	key := msg.Key{Org: org, Type: orders, Aggregate: msg.IDFromUint64(n)}
	for _, size := range sizes {
		event := msg.Event{ClientSeq: 1, Major: 1, Value: bytes.Repeat([]byte("x"), size)}
		if _, err := w.client.WriteEvents(context.Background(), key, []msg.Event{event, event}, writerID); err != nil {
			w.t.Fatal(err)
		}
	}
}

// counts reads the read model; nothing before the client has made it.
func (w *pythonWorld) counts() map[byte]int {
	db, err := sql.Open("sqlite", "file:"+w.database+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	counts := map[byte]int{}
	rows, err := db.Query("SELECT aggregate, events FROM counts")
	if err != nil {
		return counts
	}
	defer rows.Close()
	for rows.Next() {
		var aggregate []byte
		var n int
		if err := rows.Scan(&aggregate, &n); err != nil {
			w.t.Fatal(err)
		}
		counts[aggregate[15]] = n
	}
	return counts
}

// await waits until the read model is as it must be, and stays so.
func (w *pythonWorld) await(want map[byte]int) {
	w.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for fmt.Sprint(w.counts()) != fmt.Sprint(want) {
		if time.Now().After(deadline) {
			w.t.Fatalf("counts %v, want %v", w.counts(), want)
		}
		time.Sleep(50 * time.Millisecond) // another process: only its database tells
	}
}

// A client that is killed at any moment and started again counts each event once.
func TestPythonCountsExactlyOnce(t *testing.T) {
	w := newPythonWorld(t)
	want := map[byte]int{}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 6 {
		kill := w.run()
		for range 100 {
			n := random.Uint64N(8) + 1
			w.write(n, 100)
			want[byte(n)] += 2
		}
		if round%2 == 0 {
			w.await(want) // also an idle client is killed
		}
		kill()
	}
	defer w.run()()
	w.await(want)
}

// Two processes with one database: whoever comes second finds the position moved,
// rolls back, and begins again behind it. No event counts twice.
func TestPythonZombieIsFenced(t *testing.T) {
	w := newPythonWorld(t)
	want := map[byte]int{}
	first, second := w.run(), w.run()
	for i := range 300 {
		n := uint64(i%5 + 1)
		w.write(n, 10)
		want[byte(n)] += 2
	}
	w.await(want)
	first()
	second()
}

// A batch that fits no message comes in parts.
func TestPythonJoinsParts(t *testing.T) {
	w := newPythonWorld(t)
	w.write(1, 10, 3<<20, 10)
	defer w.run()()
	w.await(map[byte]int{1: 6})
}

// The client is as short as the documentation says.
func TestPythonClientIsShort(t *testing.T) {
	text, err := os.ReadFile("client.py")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 60 {
		t.Errorf("client.py has %d lines", n)
	}
}
