package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

func TestFramesAreReadOneByOne(t *testing.T) {
	var stream []byte
	all := vectors(t)
	for _, v := range all {
		stream = append(stream, v.frame...)
	}
	r := iotest.OneByteReader(bytes.NewReader(stream))
	var buf []byte
	for _, v := range all {
		read := wire.ReadResponseFrame
		if isRequest(vectorMessages[v.name]) {
			read = wire.ReadRequestFrame
		}
		h, body, err := read(r, 2000, nil, buf)
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		if h.Version != v.version || !bytes.Equal(body, v.frame[wire.HeaderSize:]) {
			t.Errorf("%s: version %d, body %x", v.name, h.Version, body)
		}
		buf = body
	}
	if _, _, err := wire.ReadRequestFrame(r, 2000, nil, buf); err != io.EOF {
		t.Errorf("at the end: %v, want io.EOF itself", err)
	}
}

func TestFramesCutShort(t *testing.T) {
	frame := encodeFrame(t, wire.V3, &msg.ReadRequest{Key: key})
	for n := range frame {
		_, _, err := wire.ReadRequestFrame(bytes.NewReader(frame[:n]), 0, nil, nil)
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if err != want {
			t.Errorf("after %d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestErrorsOfTheReaderComeThrough(t *testing.T) {
	cause := errors.New("cable cut")
	frame := encodeFrame(t, wire.V3, &msg.ReadRequest{Key: key})
	for _, n := range []int{0, 5, wire.HeaderSize, wire.HeaderSize + 5} {
		r := io.MultiReader(bytes.NewReader(frame[:n]), iotest.ErrReader(cause))
		if _, _, err := wire.ReadRequestFrame(r, 0, nil, nil); !errors.Is(err, cause) {
			t.Errorf("after %d bytes: %v, want %v", n, err, cause)
		}
	}
}

// TestRefusedBeforeTheBody: a header alone is enough to refuse, and nothing
// behind it is read.
func TestRefusedBeforeTheBody(t *testing.T) {
	for name, h := range map[string]wire.Header{
		"a version":       {Version: 4, Type: 3},
		"a type":          {Version: 3, Type: 11},
		"a length":        {Version: 3, Type: 3, CompressedLength: 5001, UncompressedLength: 5001},
		"a decompression": {Version: 3, Type: 3, CompressedLength: 50, UncompressedLength: 5001, Compression: wire.ZstdDict},
		"a fixed body":    {Version: 3, Type: 1, CompressedLength: 1008, UncompressedLength: 1008},
		"no dictionary":   {Version: 3, Type: 3, CompressedLength: 50, UncompressedLength: 500, Compression: wire.ZstdDict},
	} {
		r := bytes.NewReader(append(h.Append(nil), "body"...))
		got, _, err := wire.ReadRequestFrame(r, 5000, nil, nil)
		refusedAsFrame(t, name, err)
		if r.Len() != 4 {
			t.Errorf("%s: %d bytes of the body are left, want all 4", name, r.Len())
		}
		if got != h {
			t.Errorf("%s: header %+v, want it as read", name, got)
		}
	}
}

// TestLengthsAreNotBelieved: a header that claims 500 MB must not cost them
// before the bytes arrive.
//
//covers:g14 frames
func TestLengthsAreNotBelieved(t *testing.T) {
	h := wire.Header{Version: wire.V3, Type: 3, CompressedLength: 500_000_000, UncompressedLength: 500_000_000}
	frame := append(h.Append(nil), make([]byte, 100_000)...)
	cost := allocated(func() {
		if _, _, err := wire.ReadRequestFrame(bytes.NewReader(frame), 0, nil, nil); err != io.ErrUnexpectedEOF {
			t.Error(err)
		}
	})
	if cost > 400_000 {
		t.Errorf("%d bytes allocated for 100,000 that arrived", cost)
	}
}

func TestLargeBodiesGrowIntoPlace(t *testing.T) {
	want := &msg.RegisterSchemaRequest{Schema: string(bytes.Repeat([]byte("0123456789"), 100_000))}
	frame := encodeFrame(t, wire.V3, want)
	for _, capacity := range []int{0, 16, 17, 1000, 65536, len(frame) * 2} {
		_, body, err := wire.ReadRequestFrame(bytes.NewReader(frame), 0, nil, make([]byte, 3, max(3, capacity)))
		if err != nil || !bytes.Equal(body, frame[wire.HeaderSize:]) {
			t.Fatalf("buffer of %d: %d bytes, %v", capacity, len(body), err)
		}
		if capacity == len(frame)*2 && cap(body) < capacity {
			t.Errorf("a buffer of %d was large enough and was not used", capacity)
		}
	}
}

func TestReadingIntoABufferDoesNotAllocate(t *testing.T) {
	frame := encodeFrame(t, wire.V3, page(3, 3))
	buf := make([]byte, 0, len(frame))
	r := bytes.NewReader(nil)
	allocs := testing.AllocsPerRun(100, func() {
		r.Reset(frame)
		if _, _, err := wire.ReadResponseFrame(r, 0, nil, buf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per frame", allocs)
	}
}

// TestBuffersSurviveCompressedFrames: a reader that passes back what it got
// must not lose capacity, and stops allocating.
func TestBuffersSurviveCompressedFrames(t *testing.T) {
	coder := newCoder(t, "trained")
	resp := page(20, 5)
	packed, err := wire.AppendResponse(nil, wire.V3, resp, coder, 0)
	if err != nil {
		t.Fatal(err)
	}
	plain := encodeFrame(t, wire.V3, resp)[wire.HeaderSize:]
	var buf []byte
	for range 5 {
		_, body, err := wire.ReadResponseFrame(bytes.NewReader(packed), 0, coder, buf)
		if err != nil || !bytes.Equal(body, plain) {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		if buf != nil && &buf[:1][0] != &body[:1][0] {
			t.Error("the buffer was large enough and was not used")
		}
		buf = body
	}
}

func TestBrokenZstdFrames(t *testing.T) {
	coder := newCoder(t, "trained")
	frame, err := wire.AppendResponse(nil, wire.V3, page(20, 5), coder, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, break_ := range map[string]func([]byte){
		"magic":  func(f []byte) { f[wire.HeaderSize] ^= 0xff },
		"length": func(f []byte) { f[12]++ },
		"blocks": func(f []byte) { clear(f[wire.HeaderSize+20:]) },
	} {
		broken := bytes.Clone(frame)
		break_(broken)
		_, body, err := wire.ReadResponseFrame(bytes.NewReader(broken), 0, coder, nil)
		refusedAsFrame(t, name, err)
		if body != nil {
			t.Errorf("%s: %d bytes returned", name, len(body))
		}
	}
}
