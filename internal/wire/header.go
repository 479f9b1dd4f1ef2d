package wire

import (
	"encoding/binary"
	"fmt"
)

// Version is a protocol version; it selects the body codec of a frame.
type Version uint32

// The versions. A node answers in the version of the request.
const (
	V2 Version = 2 // bincode: fixed-width little-endian integers
	V3 Version = 3 // MessagePack
)

// Compression says how a body is compressed.
type Compression uint8

// The compressions.
const (
	None     Compression = 0
	ZstdDict Compression = 1 // one zstd frame made with the cluster's dictionary
)

// maxBody is the longest body handled whatever the limits: 2 GiB, or 512 MiB where
// an int has 32 bits, so that sums of two lengths fit an int.
const maxBody = 1<<(29+2*(^uint(0)>>63)) - 1

// HeaderSize is the length of a frame's header in bytes.
const HeaderSize = 17

// Header is what precedes each body: five little-endian fields. Protocol
// section 3.
type Header struct {
	Version Version
	// Type is a msg.RequestType or a msg.ResponseType; the two are numbered
	// separately.
	Type uint32
	// CompressedLength is the length of the body on the wire,
	// UncompressedLength its length after decompression.
	CompressedLength, UncompressedLength uint32
	Compression                          Compression
}

// ParseHeader reads a header out of the first 17 bytes of b. ParseHeader
// refuses, with a *FrameError, fewer bytes, versions other than 2 and 3,
// compressions other than 0 and 1, and unequal lengths of an uncompressed body.
// Types and limits are for CheckRequest and CheckResponse.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, &FrameError{Why: fmt.Sprintf("a header has %d bytes, not %d", HeaderSize, len(b))}
	}
	h := Header{
		Version:            Version(binary.LittleEndian.Uint32(b)),
		Type:               binary.LittleEndian.Uint32(b[4:]),
		CompressedLength:   binary.LittleEndian.Uint32(b[8:]),
		UncompressedLength: binary.LittleEndian.Uint32(b[12:]),
		Compression:        Compression(b[16]),
	}
	switch {
	case h.Version != V2 && h.Version != V3:
		return h, &FrameError{Header: h, Why: "only versions 2 and 3 are understood"}
	case h.Compression > ZstdDict:
		return h, &FrameError{Header: h, Why: fmt.Sprintf("compression %d is unknown", h.Compression)}
	case h.Compression == None && h.CompressedLength != h.UncompressedLength:
		return h, &FrameError{Header: h, Why: fmt.Sprintf("lengths %d and %d differ without compression",
			h.CompressedLength, h.UncompressedLength)}
	}
	return h, nil
}

// Append appends the header's 17 bytes to dst.
func (h Header) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Version))
	dst = binary.LittleEndian.AppendUint32(dst, h.Type)
	dst = binary.LittleEndian.AppendUint32(dst, h.CompressedLength)
	dst = binary.LittleEndian.AppendUint32(dst, h.UncompressedLength)
	return append(dst, byte(h.Compression))
}

// CheckRequest applies what a node demands of a request's header before it
// reads the body: both lengths within limit bytes (0 means 2 GiB, 512 MiB on
// platforms of 32 bits), a known
// type, and for the fixed class at most FixedBodyLimit bytes, uncompressed.
// CheckRequest returns a *FrameError. Protocol sections 3 and 3.1.
func (h Header) CheckRequest(limit uint32) error { return h.check(requestClass(h.Type), limit) }

// CheckResponse is CheckRequest for what a client receives. A compressed
// Identify answer is refused as well: it brings the dictionary.
func (h Header) CheckResponse(limit uint32) error { return h.check(responseClass(h.Type), limit) }

func (h Header) check(class class, limit uint32) error {
	longest := max(h.CompressedLength, h.UncompressedLength)
	most := uint32(maxBody)
	if limit != 0 {
		most = min(most, limit)
	}
	switch {
	case longest > most:
		return &FrameError{Header: h, TooLarge: true, Why: fmt.Sprintf("a body of %d bytes (%d on the wire) exceeds the limit of %d",
			h.UncompressedLength, h.CompressedLength, most)}
	case class == unassigned:
		return &FrameError{Header: h, Why: "the type is unknown"}
	case class != variable && h.Compression != None:
		return &FrameError{Header: h, Why: "messages of this type are never compressed"}
	case class == fixed && longest > FixedBodyLimit:
		return &FrameError{Header: h, Why: fmt.Sprintf("a fixed-class body of %d bytes exceeds %d", longest, FixedBodyLimit)}
	}
	return nil
}
