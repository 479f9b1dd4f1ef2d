package natsstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/natsstore"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// rights are those that the documentation tells, of streams that were made beforehand.
func rights(streams []string) *server.Permissions {
	var publish []string
	for _, stream := range streams {
		publish = append(publish,
			stream+".>",
			"$JS.API.STREAM.INFO."+stream,
			"$JS.API.STREAM.MSG.GET."+stream,
			"$JS.API.STREAM.PURGE."+stream,
			"$JS.API.CONSUMER.CREATE."+stream+".>",
			"$JS.API.CONSUMER.DELETE."+stream+".>",
			"$JS.API.CONSUMER.MSG.NEXT."+stream+".>",
		)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
}

// The suite as a user that may do no more than the documentation says.
func TestLeastPrivilege(t *testing.T) {
	var streams []string
	for n := range checkpointtest.Rules() {
		streams = append(streams, name(int64(n+1)))
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, StoreDir: t.TempDir(), JetStream: true, NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
		Users: []*server.User{
			{Username: "admin", Password: "secret"},
			{Username: "consumer", Password: "secret", Permissions: rights(streams)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer stop(s)
	if !s.ReadyForConnections(patience) {
		t.Fatal(errNotReady)
	}
	admin, err := jetstream.New(connect(t, "nats://admin:secret@"+s.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, "nats://consumer:secret@"+s.Addr().String())
	// The server does not answer what a user may not ask.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := natsstore.Open(ctx, conn, natsstore.Options{Stream: "absent"}); err == nil {
		t.Error("a user without the right to do so has created a stream")
	}
	open := fixtures(conn)
	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture {
		stream := streams[0]
		streams = streams[1:]
		if _, err := admin.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{stream + ".>"}}); err != nil {
			t.Fatal(err)
		}
		return open(t)
	})
}
