package gateway_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/gateway"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
)

// Of HTTP/2 (RFC 9113).
const (
	preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader  = 9
	typeSettings = 4
	typePing     = 6
	typeGoAway   = 7
	flagAck      = 1
	// enhanceYourCalm is the code for a client that asks for too much.
	enhanceYourCalm = 11
)

func http2Frame(kind byte, payload ...byte) []byte {
	head := make([]byte, frameHeader)
	head[2], head[3] = byte(len(payload)), kind
	return append(head, payload...)
}

// A connection that pings without a pause is ended with the code that says so, and
// another one goes on.
func TestPingsWithoutAPauseEndTheirConnection(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	good := w.mustOpen(clientHeld())
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(append([]byte(preface), http2Frame(typeSettings)...)); err != nil {
		t.Fatal(err)
	}
	ping := http2Frame(typePing, make([]byte, 8)...)
	pings := 0
	next := func() {
		pings++
		_, _ = conn.Write(ping) // a connection that has ended says why to the reader
	}
	next()
	for {
		head := make([]byte, frameHeader)
		if _, err := io.ReadFull(conn, head); err != nil {
			t.Fatalf("after %d pings: %v", pings, err)
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(conn, payload); err != nil {
			t.Fatal(err)
		}
		if head[3] == typePing && head[4]&flagAck != 0 {
			next()
		}
		if head[3] != typeGoAway {
			continue
		}
		if code := binary.BigEndian.Uint32(payload[4:]); code != enhanceYourCalm {
			t.Errorf("the connection ends with code %d and %q, want %d", code, payload[8:], enhanceYourCalm)
		}
		break
	}
	if pings > 10 {
		t.Errorf("it took %d pings", pings)
	}
	w.write(1, "a")
	good.next(noPositions, func(m *pb.SubscribeResponse) bool { return len(m.GetChanges().GetChanges()) > 0 })
}
