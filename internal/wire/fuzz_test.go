package wire_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"runtime/metrics"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// The decoders must not panic whatever they are given, must not allocate more
// than a multiple of it, and what they accept must survive being encoded and
// decoded again, in both versions.

func seedBodies(f *testing.F, requests bool) {
	for _, m := range everyMessage() {
		if isRequest(m) != requests {
			continue
		}
		for _, v := range []wire.Version{wire.V2, wire.V3} {
			frame := encodeFrame(f, v, m)
			h, err := wire.ParseHeader(frame)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(v == wire.V3, uint8(h.Type), frame[wire.HeaderSize:])
		}
	}
}

func versionOf(v3 bool) wire.Version {
	if v3 {
		return wire.V3
	}
	return wire.V2
}

func FuzzDecodeRequest(f *testing.F) {
	seedBodies(f, true)
	f.Add(true, uint8(msg.TypeListOrgsRequest), unhex(f, "81a873686172645f696402"))
	f.Fuzz(func(t *testing.T, v3 bool, kind uint8, body []byte) {
		fuzzBody(t, versionOf(v3), msg.RequestType(kind), body)
	})
}

func FuzzDecodeResponse(f *testing.F) {
	seedBodies(f, false)
	f.Fuzz(func(t *testing.T, v3 bool, kind uint8, body []byte) {
		fuzzBody(t, versionOf(v3), msg.ResponseType(kind), body)
	})
}

func fuzzBody(t *testing.T, v wire.Version, as any, body []byte) {
	var m any
	var err error
	cost := allocatedAtOnce(func() { m, err = decodeAs(v, as, body) })
	if most := mostFor(len(body)) + 1<<20; cost > most { // the fuzzer itself allocates beside us
		t.Errorf("%d bytes allocated for a body of %d, want at most %d", cost, len(body), most)
	}
	if err != nil {
		var refused *wire.DecodeError
		if !errors.As(err, &refused) {
			t.Errorf("error %v is no DecodeError", err)
		}
		return
	}
	for _, other := range []wire.Version{wire.V2, wire.V3} {
		frame, err := appendMessage(nil, other, m)
		var size *wire.SizeError
		if errors.As(err, &size) && size.Fixed {
			continue // a body can be decoded that no frame carries
		}
		if err != nil {
			t.Fatalf("%+v was decoded and is not encoded: %v", m, err)
		}
		again, err := decodeAs(other, as, frame[wire.HeaderSize:])
		if err != nil {
			t.Fatalf("%+v was decoded, encoded in version %d and not decoded: %v", m, other, err)
		}
		if was, is := positional(m), positional(again); !reflect.DeepEqual(was, is) {
			t.Fatalf("%v became %v in version %d", was, is, other)
		}
		twice, err := appendMessage(nil, other, again)
		if err != nil || !bytes.Equal(frame, twice) {
			t.Fatalf("%x was encoded as %x, %v", frame, twice, err)
		}
	}
}

// allocatedAtOnce is allocated without stopping the world; it may miss small
// allocations, not the large ones a lying count would cause.
func allocatedAtOnce(run func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	run()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// FuzzDecodeRead fills a page that holds another page already.
func FuzzDecodeRead(f *testing.F) {
	for _, m := range everyMessage() {
		if resp, ok := m.(*msg.ReadResponse); ok {
			f.Add(true, encodeFrame(f, wire.V3, resp)[wire.HeaderSize:])
			f.Add(false, encodeFrame(f, wire.V2, resp)[wire.HeaderSize:])
		}
	}
	before := encodeFrame(f, wire.V3, page(3, 4))[wire.HeaderSize:]
	f.Fuzz(func(t *testing.T, v3 bool, body []byte) {
		var into wire.ReadPage
		if err := wire.DecodeRead(wire.V3, before, &into); err != nil {
			t.Fatal(err)
		}
		err := wire.DecodeRead(versionOf(v3), body, &into)
		fresh, errFresh := wire.DecodeResponse(versionOf(v3), msg.TypeReadResponse, body)
		switch {
		case (err == nil) != (errFresh == nil):
			t.Fatalf("refilled: %v, fresh: %v", err, errFresh)
		case err == nil && !reflect.DeepEqual(positional(&into.ReadResponse), positional(fresh)):
			t.Fatalf("refilled %v, fresh %v", into.ReadResponse, fresh)
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	coder := newCoder(f, "trained")
	for _, v := range vectors(f) {
		f.Add(v.frame, isRequest(vectorMessages[v.name]))
	}
	packed, err := wire.AppendResponse(nil, wire.V3, page(3, 4), coder, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed, false)
	f.Fuzz(func(t *testing.T, stream []byte, request bool) {
		const limit = 1 << 20
		read := wire.ReadResponseFrame
		if request {
			read = wire.ReadRequestFrame
		}
		h, body, err := read(bytes.NewReader(stream), limit, coder, nil)
		var broken *wire.FrameError
		switch {
		case err == nil && (len(body) != int(h.UncompressedLength) || len(body) > limit):
			t.Errorf("a body of %d under header %+v", len(body), h)
		case err == nil || errors.As(err, &broken):
		case err == io.EOF && len(stream) == 0 || err == io.ErrUnexpectedEOF && len(stream) > 0:
		default:
			t.Errorf("%d bytes: error %v", len(stream), err)
		}
	})
}

func FuzzDecompress(f *testing.F) {
	coder := newCoder(f, "raw")
	f.Add(zstdFile(f, "events.raw.zst"), uint32(1820))
	f.Add(unhex(f, "28b52ffd a0 00000040 03001041"), uint32(1<<20))
	f.Fuzz(func(t *testing.T, src []byte, size uint32) {
		size %= 1 << 22
		got, err := coder.Decompress(nil, src, size)
		if err == nil && len(got) != int(size) {
			t.Errorf("%d bytes, announced %d", len(got), size)
		}
	})
}
