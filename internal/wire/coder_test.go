package wire_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/klauspost/compress/zstd"
)

// testdata/zstd holds a dictionary trained by the zstd tool, one of raw
// content, some events, and the events compressed with each by the same tool.

func zstdFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/zstd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newCoder(t testing.TB, dictionary string) *wire.Coder {
	t.Helper()
	coder, err := wire.NewCoder(zstdFile(t, dictionary+".dict"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coder.Close)
	return coder
}

func TestCoderReadsTheStandardTool(t *testing.T) {
	events := zstdFile(t, "events.json")
	for _, name := range []string{"raw", "trained"} {
		coder := newCoder(t, name)
		got, err := coder.Decompress([]byte("before"), zstdFile(t, "events."+name+".zst"), uint32(len(events)))
		if err != nil || string(got) != "before"+string(events) {
			t.Errorf("%s: %.60q, %v", name, got, err)
		}
	}
}

// TestCoderWritesWhatTheReferenceDoes: one segment, the content size, no
// checksum, the dictionary's id if it has one. Protocol section 9.3.
func TestCoderWritesWhatTheReferenceDoes(t *testing.T) {
	events := zstdFile(t, "events.json")
	for name, id := range map[string]uint32{
		"raw": 0, "trained": binary.LittleEndian.Uint32(zstdFile(t, "trained.dict")[4:]),
	} {
		packed := newCoder(t, name).Compress(nil, events)
		var h zstd.Header
		if err := h.Decode(packed); err != nil {
			t.Fatal(err)
		}
		if !h.SingleSegment || h.HasCheckSum || !h.HasFCS || h.FrameContentSize != uint64(len(events)) || h.DictionaryID != id {
			t.Errorf("%s: zstd header %+v, want dictionary %d", name, h, id)
		}
		if len(packed) > len(events)/4 {
			t.Errorf("%s: %d bytes compress to %d: the dictionary is not used", name, len(events), len(packed))
		}
	}
}

func TestCoderBothWays(t *testing.T) {
	for _, name := range []string{"raw", "trained"} {
		coder := newCoder(t, name)
		for _, size := range []int{0, 1, 100, 1024, 200_000, 3 << 20} {
			text := bytes.Repeat([]byte("carrier UA from JFK to ORD. "), size/28+1)[:size]
			packed := coder.Compress([]byte("x"), text)
			got, err := coder.Decompress(nil, packed[1:], uint32(size))
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes come back as %d, %v", name, size, len(got), err)
			}
		}
	}
}

func TestCoderNeedsTheRightDictionary(t *testing.T) {
	events := zstdFile(t, "events.json")
	packed := newCoder(t, "trained").Compress(nil, events)
	if _, err := newCoder(t, "raw").Decompress(nil, packed, uint32(len(events))); err == nil {
		t.Error("a frame of another dictionary is accepted")
	}
}

func TestDecompressRefuses(t *testing.T) {
	coder := newCoder(t, "raw")
	events := zstdFile(t, "events.json")
	packed := coder.Compress(nil, events)
	size := uint32(len(events))

	// A frame of unknown size: it does not say how much it holds.
	var unsized bytes.Buffer
	w, err := zstd.NewWriter(&unsized, zstd.WithEncoderDictRaw(0, zstdFile(t, "raw.dict")))
	if err != nil {
		t.Fatal(err)
	}
	for part := range bytes.Lines(bytes.ReplaceAll(events, []byte("}"), []byte("}\n"))) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	full := size + 16 // a line end was put behind each of the 16 events
	if got, err := coder.Decompress(nil, unsized.Bytes(), full); err != nil || len(got) != int(full) {
		t.Fatalf("a frame without size: %d bytes, %v", len(got), err)
	}

	for name, c := range map[string]struct {
		src  []byte
		size uint32
	}{
		"less than announced":               {packed, size + 1},
		"more than announced":               {packed, size - 1},
		"less than announced, unsized":      {unsized.Bytes(), full + 1},
		"more than announced, unsized":      {unsized.Bytes(), full - 1},
		"an impossible size":                {unsized.Bytes(), 1 << 30},
		"garbage":                           {[]byte("garbage marked compressed"), 100},
		"nothing":                           {nil, 0},
		"a skippable frame":                 {unhex(t, "502a4d18 00000000"), 0},
		"a frame cut off":                   {packed[:len(packed)-1], size},
		"a second frame beyond the size":    {append(bytes.Clone(packed), packed...), size},
		"a frame that claims another block": {unhex(t, "28b52ffd 20ff 0300 00"), 255},
	} {
		dst := []byte("kept")
		got, err := coder.Decompress(dst, c.src, c.size)
		if err == nil || !strings.HasPrefix(err.Error(), "wire: ") {
			t.Errorf("%s: error %v", name, err)
		}
		if string(got) != "kept" {
			t.Errorf("%s: returned %q, want dst as it was", name, got)
		}
	}
}

// rle is a zstd frame without content size, of n blocks that each repeat a
// byte 128 KiB times.
func rle(t testing.TB, n int) []byte {
	frame := unhex(t, "28b52ffd 00 38")
	frame = append(frame, bytes.Repeat(unhex(t, "020010 41"), n-1)...)
	return append(frame, unhex(t, "030010 41")...)
}

// TestDecompressionIsBounded: frames that hold or announce far more than the
// size given, or the size given being far more than they hold, must not cost
// what they promise.
//
//covers:frames
func TestDecompressionIsBounded(t *testing.T) {
	coder := newCoder(t, "raw")
	if got, err := coder.Decompress(nil, rle(t, 3), 3<<17); err != nil || len(got) != 3<<17 {
		t.Fatalf("three blocks: %d bytes, %v", len(got), err)
	}
	for name, c := range map[string]struct {
		src  []byte
		size uint32
	}{
		"announces a gigabyte as asked": {unhex(t, "28b52ffd a0 00000040 030010 41"), 1 << 30},
		"announces less than asked":     {coder.Compress(nil, zstdFile(t, "events.json")), 9 << 20},
		"holds more than asked":         {rle(t, 1000), 100},
	} {
		cost := allocated(func() {
			if _, err := coder.Decompress(nil, c.src, c.size); err == nil {
				t.Errorf("%s: accepted", name)
			}
		})
		if cost > 1<<20 {
			t.Errorf("%s: %d bytes allocated for a frame of %d", name, cost, len(c.src))
		}
	}
}

// TestDecompressionStaysInItsRoom: what dst has room for beyond the size given
// is not written to.
func TestDecompressionStaysInItsRoom(t *testing.T) {
	dst := make([]byte, 300_000)
	if _, err := newCoder(t, "raw").Decompress(dst[:0], rle(t, 2), 100); err == nil {
		t.Error("more than announced is accepted")
	}
	if i := bytes.IndexByte(dst[100:], 'A'); i >= 0 {
		t.Errorf("byte %d was written, the size given is 100", 100+i)
	}
}

func TestNewCoder(t *testing.T) {
	dict := zstdFile(t, "raw.dict")
	coder, err := wire.NewCoder(dict)
	if err != nil {
		t.Fatal(err)
	}
	defer coder.Close()
	want := bytes.Clone(dict)
	dict[0] ^= 0xff
	if !bytes.Equal(coder.Dictionary(), want) {
		t.Error("the coder's dictionary is not a copy")
	}
	if got := coder.SHA256(); len(got) != 64 || got != strings.ToLower(got) {
		t.Errorf("hash %q is not 64 lower-case digits", got)
	}
	for name, broken := range map[string][]byte{
		"empty": nil, "cut": zstdFile(t, "trained.dict")[:100], "of the vectors": {0x37, 0xa4, 0x30, 0xec, 0x00, 0x7f, 0x80, 0xff},
	} {
		if _, err := wire.NewCoder(broken); err == nil {
			t.Errorf("a dictionary that is %s is accepted", name)
		}
	}
}

func TestCoderIsSharedByManyGoroutines(t *testing.T) {
	coder := newCoder(t, "trained")
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			text := bytes.Repeat([]byte{byte('a' + g), '-', 'J', 'F', 'K'}, 1000)
			for range 50 {
				packed := coder.Compress(nil, text)
				if got, err := coder.Decompress(nil, packed, uint32(len(text))); err != nil || !bytes.Equal(got, text) {
					t.Errorf("goroutine %d: %d bytes, %v", g, len(got), err)
					return
				}
			}
		})
	}
	all.Wait()
}
