package wire_test

import (
	"bytes"
	"errors"
	"math/bits"
	"testing"

	"github.com/celeriant/celeriant-go/internal/wire"
)

func TestHeaderBytes(t *testing.T) {
	h := wire.Header{Version: wire.V3, Type: 0x0a0b0c0d, CompressedLength: 0x01020304, UncompressedLength: 0x05060708, Compression: wire.ZstdDict}
	want := unhex(t, "03000000 0d0c0b0a 04030201 08070605 01")
	if got := h.Append([]byte("x")); !bytes.Equal(got, append([]byte("x"), want...)) {
		t.Errorf("header is %x, want %x behind what was there", got, want)
	}
	if got, err := wire.ParseHeader(append(want, 0xff)); err != nil || got != h {
		t.Errorf("parsed %+v, %v; want %+v", got, err, h)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	sound := wire.Header{Version: wire.V2, Type: 1, CompressedLength: 100, UncompressedLength: 100}
	for name, h := range map[string]wire.Header{
		"version 0":       {Version: 0, Type: 1},
		"version 1":       {Version: 1, Type: 1},
		"version 4":       {Version: 4, Type: 1},
		"version 2^32-1":  {Version: 1<<32 - 1, Type: 1},
		"compression 2":   {Version: 3, Type: 3, Compression: 2},
		"compression 3":   {Version: 3, Type: 3, Compression: 3},
		"compression 4":   {Version: 3, Type: 3, Compression: 4},
		"compression 5":   {Version: 3, Type: 3, Compression: 5},
		"compression 255": {Version: 3, Type: 3, Compression: 255},
		"unequal lengths": {Version: 3, Type: 3, CompressedLength: 100, UncompressedLength: 200},
		"longer on wire":  {Version: 3, Type: 3, CompressedLength: 200, UncompressedLength: 100},
	} {
		_, err := wire.ParseHeader(h.Append(nil))
		refusedAsFrame(t, name, err)
	}
	_, err := wire.ParseHeader(sound.Append(nil)[:16])
	refusedAsFrame(t, "16 bytes", err)
	if _, err := wire.ParseHeader(sound.Append(nil)); err != nil {
		t.Error(err)
	}
}

func refusedAsFrame(t *testing.T, name string, err error) {
	t.Helper()
	var broken *wire.FrameError
	if !errors.As(err, &broken) {
		t.Errorf("%s: error %v, want a FrameError", name, err)
	}
}

// TestClasses lists every type number with what its frames may be. Protocol
// sections 3.1 and 4.
func TestClasses(t *testing.T) {
	const limit = 5000
	for _, side := range []struct {
		name                   string
		check                  func(wire.Header, uint32) error
		fixed, variable, plain []uint32
	}{
		{"request", wire.Header.CheckRequest, []uint32{1, 2, 4, 5, 6, 7, 8, 9, 14}, []uint32{3, 10}, nil},
		{"response", wire.Header.CheckResponse, []uint32{1, 3, 4, 5, 6, 7, 12}, []uint32{2, 8, 9, 10, 11}, []uint32{16}},
	} {
		most := map[uint32]uint32{}
		for _, n := range side.fixed {
			most[n] = wire.FixedBodyLimit
		}
		for _, n := range append(side.variable, side.plain...) {
			most[n] = limit
		}
		for n := range uint32(120) {
			accepts := func(compression wire.Compression, packed, size uint32) bool {
				h := wire.Header{Version: wire.V3, Type: n, CompressedLength: packed, UncompressedLength: size, Compression: compression}
				err := side.check(h, limit)
				if err != nil {
					refusedAsFrame(t, "check", err)
				}
				return err == nil
			}
			_, known := most[n]
			if got := accepts(wire.None, 0, 0); got != known {
				t.Errorf("%s type %d: accepted %v, want %v", side.name, n, got, known)
			}
			if !known {
				continue
			}
			if !accepts(wire.None, most[n], most[n]) || accepts(wire.None, most[n]+1, most[n]+1) {
				t.Errorf("%s type %d: the limit is not %d", side.name, n, most[n])
			}
			compressible := most[n] == limit && n != 16
			if got := accepts(wire.ZstdDict, 10, 20); got != compressible {
				t.Errorf("%s type %d: compressed accepted %v, want %v", side.name, n, got, compressible)
			}
			if compressible && (accepts(wire.ZstdDict, limit+1, 20) || accepts(wire.ZstdDict, 20, limit+1)) {
				t.Errorf("%s type %d: one of the two lengths may exceed the limit", side.name, n)
			}
		}
	}
}

func TestLimitsThatAreNone(t *testing.T) {
	most := uint32(1<<31 - 1)
	if bits.UintSize == 32 {
		most = 1<<29 - 1 // so that sums of lengths fit an int
	}
	h := wire.Header{Version: wire.V3, Type: 3, CompressedLength: most, UncompressedLength: most}
	if err := h.CheckRequest(0); err != nil {
		t.Errorf("%d bytes without a limit: %v", most, err)
	}
	h.CompressedLength, h.UncompressedLength = most+1, most+1
	refusedAsFrame(t, "one byte more without a limit", h.CheckRequest(0))
	h.CompressedLength, h.UncompressedLength = 1<<31, 1<<31
	refusedAsFrame(t, "2 GiB without a limit", h.CheckRequest(0))
	refusedAsFrame(t, "2 GiB with a higher limit", h.CheckRequest(1<<32-1))
	fixed := wire.Header{Version: wire.V3, Type: 1, CompressedLength: 501, UncompressedLength: 501}
	refusedAsFrame(t, "a fixed body over a limit below 1007", fixed.CheckRequest(500))
}
