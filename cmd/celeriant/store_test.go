package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/celeriant/celeriant-go/celerianttest"
)

// morePlaces are places that need more than Go, by kind.
var morePlaces = map[string]func(*testing.T) string{}

// placesOfTests are places of all kinds that can be had.
func placesOfTests(t *testing.T) map[string]string {
	t.Helper()
	node := celerianttest.Run(t, celerianttest.Options{Shards: 2})
	broker, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, StoreDir: t.TempDir(), JetStream: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	broker.Start()
	t.Cleanup(func() {
		broker.Shutdown()
		broker.WaitForShutdown()
	})
	if !broker.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	places := map[string]string{
		"nats":   "nats:" + broker.ClientURL(),
		"file":   "file:" + filepath.Join(t.TempDir(), "store"),
		"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "positions.db"),
		"bbolt":  "bbolt:" + filepath.Join(t.TempDir(), "positions.db"),
		"log":    "log:" + node.Addr(),
	}
	for kind, place := range morePlaces {
		places[kind] = place(t)
	}
	return places
}

// Every command that takes a place takes every kind of place.
func TestPlaces(t *testing.T) {
	exported := filepath.Join(t.TempDir(), "exported")
	text := succeeded(t, "checkpoints", "export", "--checkpoint", filledStore(t, "orders", 3, 7), "--name", "orders")
	if err := os.WriteFile(exported, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for kind, place := range placesOfTests(t) {
		t.Run(kind, func(t *testing.T) {
			succeeded(t, "checkpoints", "import", "--checkpoint", place, "--name", "orders", "--file", exported)
			if got := succeeded(t, "checkpoints", "export", "--checkpoint", place, "--name", "orders"); len(got) != len(text) {
				t.Errorf("exported %q, want %q", got, text)
			}
			if got := succeeded(t, "checkpoints", "list", "--checkpoint", place); !strings.Contains(got, "orders") {
				t.Errorf("listed %q", got)
			}
			if got := succeeded(t, "consumers", "list", "--checkpoint", place); !strings.Contains(got, "orders") {
				t.Errorf("consumers are %q", got)
			}
			succeeded(t, "parked", "list", "--checkpoint", place, "--name", "orders")
			succeeded(t, "checkpoints", "delete", "--checkpoint", place, "--name", "orders", "--yes")
		})
	}
}

// A place of nodes is reached with the credentials of the command.
func TestLogPlaceTakesTheFlagsOfConnections(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	r := command(t, "checkpoints", "list", "--checkpoint", "log:"+node.Addr(), "--api-key-file", filepath.Join(t.TempDir(), "none"))
	if r.status == 0 || !strings.Contains(r.stderr, "credentials") {
		t.Errorf("status %d, stderr %q", r.status, r.stderr)
	}
}

// A URL can hold a password: no error shows it.
func TestPlacesHideSecrets(t *testing.T) {
	for _, place := range []string{
		"redis:redis://user:secret@127.0.0.1:1/x", "redis:http://:secret@127.0.0.1:1", "redis:redis://:secret@127.0.0.1:1",
		"redis:redis://:secret@127.0.0.1:1?addr=127.0.0.1:2&dial_timeout=x", "redis:%zz secret", "nats:nats://user:secret@127.0.0.1:1",
		"nats:%zz secret", "mysql:user:secret@tcp(127.0.0.1:1)/x", "mysql:secret",
	} {
		r := command(t, "checkpoints", "list", "--checkpoint", place)
		if r.status == 0 || strings.Contains(r.stdout+r.stderr, "secret") {
			t.Errorf("%s: status %d, %q", place, r.status, r.stderr)
		}
	}
}
