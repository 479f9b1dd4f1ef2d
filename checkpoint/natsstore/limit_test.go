package natsstore_test

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/natsstore"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A server that has as many connections as it may refuses those beyond. A store whose
// client goes on trying opens once there is room.
func TestServerHasTooManyConnections(t *testing.T) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, StoreDir: t.TempDir(), JetStream: true, NoSigs: true, NoLog: true, MaxPayload: 8 << 20, MaxConn: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer stop(s)
	if !s.ReadyForConnections(patience) {
		t.Fatal(errNotReady)
	}
	first, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	open(t, first, natsstore.Options{})
	if second, err := nats.Connect(s.ClientURL()); err == nil {
		second.Close()
		t.Fatal("there is a connection beyond the limit")
	}
	waiting := connect(t, s.ClientURL(), nats.RetryOnFailedConnect(true))
	opened := make(chan error, 1)
	go func() {
		later, err := natsstore.Open(t.Context(), waiting, natsstore.Options{})
		if err == nil {
			_, err = later.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "everything"})
			err = errors.Join(err, later.Close())
		}
		opened <- err
	}()
	first.Close()
	if err := <-opened; err != nil {
		t.Fatalf("once there is room: %v", err)
	}
}
