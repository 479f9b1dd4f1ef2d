package celerianttest_test

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/traces"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

func TestFixedFramesHaveALimit(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	frame := func(body int) []byte {
		h := wire.Header{Version: wire.V2, Type: uint32(msg.TypeDetailsRequest), CompressedLength: uint32(body), UncompressedLength: uint32(body)}
		return append(h.Append(nil), make([]byte, body)...)
	}
	p := dialTCP(t, node)
	p.write(frame(1007))
	p.wantError(msg.CodeDetailsNotFound)
	p.write(frame(1008))
	p.eof()
}

func TestCutOffFramesEndQuietly(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	frame := frameOf(t, wire.V3, writeTo(key(1), event(1, "x")))
	for n := range frame {
		p := dial(t, node)
		p.write(frame[:n])
		p.close()
	}
	p := dial(t, node)
	p.send(readFrom(key(1), 1))
	p.wantError(msg.CodeReadNotFound)
}

// FuzzConnection feeds bytes to a connection: the node must survive, and answer
// what it answers in whole frames. Run it with -fuzzminimizetime=1x: which
// lines goroutines reach differs between runs, which keeps minimising busy.
func FuzzConnection(f *testing.F) {
	for _, scenario := range []string{"malformed", "append-read", "watch-basic", "delete-fresh", "identity-required", "shards"} {
		for _, version := range []int{2, 3} {
			rec, ok := traces.Find(scenario, version)
			if !ok {
				f.Fatalf("no recording of %s in version %d", scenario, version)
			}
			f.Add(sentBytes(rec))
		}
	}
	node := celerianttest.Run(f, celerianttest.Options{Shards: 3, MaxRequestSize: 1 << 16, Heartbeat: time.Hour, Validators: testValidators})
	f.Fuzz(func(t *testing.T, input []byte) {
		p := dial(t, node)
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			_, _ = p.socket.Write(input) // the node may have closed long before the end
			// Half a header: whatever the input left open, the node now closes,
			// or does when it has waited long enough.
			_, _ = p.socket.Write(binary.LittleEndian.AppendUint32(nil, 99))
			_, _ = p.socket.Write(make([]byte, wire.HeaderSize+1<<16))
		}()
		for {
			_, _, err := p.receive()
			var broken *wire.DecodeError
			if errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &broken) {
				t.Fatalf("the node sent half a frame, or a wrong one: %v", err)
			}
			if err != nil {
				break
			}
		}
		p.close()
		<-writing
		alive := dial(t, node)
		alive.send(&msg.ListOrgsRequest{Shard: 99})
		alive.wantError(msg.CodeRouting)
	})
}

// sentBytes joins what the client of a recording sent.
func sentBytes(rec traces.Recording) []byte {
	var all []byte
	for _, s := range rec.Steps {
		if s.Do == traces.DoSend {
			all = append(all, s.Hex...)
		}
	}
	return all
}
