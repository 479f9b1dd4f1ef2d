package wire

import (
	"errors"
	"io"
	"slices"
)

// firstStep is how many bytes of a body are set aside before any arrived, when
// the caller's buffer is smaller.
const firstStep = 64 << 10

// ReadRequestFrame reads one request frame from r: header, checks, body, and
// decompression with coder. The body it returns is uncompressed and lies in
// buf if its capacity suffices, else in memory that grows as bytes arrive, so
// that a header's claim alone costs little. The body is valid until the caller
// overwrites it. limit bounds both lengths in bytes; 0 means 2 GiB.
//
// Errors: io.EOF when nothing of the frame was there, io.ErrUnexpectedEOF when the
// frame ends early, a *FrameError when it breaks a rule or is compressed and coder is
// nil; any other error is r's. After any error but io.EOF the position in r is
// lost. The header is returned as far as it was read.
func ReadRequestFrame(r io.Reader, limit uint32, coder *Coder, buf []byte) (Header, []byte, error) {
	return readFrame(r, buf, coder, limit, Header.CheckRequest)
}

// ReadResponseFrame is ReadRequestFrame for a response.
func ReadResponseFrame(r io.Reader, limit uint32, coder *Coder, buf []byte) (Header, []byte, error) {
	return readFrame(r, buf, coder, limit, Header.CheckResponse)
}

func readFrame(r io.Reader, buf []byte, coder *Coder, limit uint32, check func(Header, uint32) error) (Header, []byte, error) {
	// The header goes through buf because an array of its own would be
	// allocated for each frame.
	head := slices.Grow(buf[:0], HeaderSize)[:HeaderSize]
	if _, err := io.ReadFull(r, head); err != nil {
		return Header{}, nil, err
	}
	h, err := ParseHeader(head)
	if err != nil {
		return h, nil, err
	}
	if err := check(h, limit); err != nil {
		return h, nil, err
	}
	if h.Compression == ZstdDict && coder == nil {
		return h, nil, &FrameError{Header: h, Why: "the body is compressed and the dictionary is not known"}
	}
	body, err := readBody(r, head[:0], int(h.CompressedLength))
	if err != nil || h.Compression == None {
		return h, body, err
	}
	return decompress(h, body, coder)
}

// readBody reads n bytes into buf or a larger slice that at most doubles each
// time it is full.
func readBody(r io.Reader, buf []byte, n int) ([]byte, error) {
	for len(buf) < n {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(n, max(2*len(buf), firstStep)))
			copy(grown, buf)
			buf = grown
		}
		got := buf[len(buf):min(n, cap(buf))]
		if _, err := io.ReadFull(r, got); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		buf = buf[:len(buf)+len(got)]
	}
	return buf, nil
}

// decompress returns the uncompressed body, in the memory of the compressed one
// if both have room there.
func decompress(h Header, packed []byte, coder *Coder) (Header, []byte, error) {
	size := int(h.UncompressedLength)
	room := packed[len(packed):]
	fits := cap(room) >= size
	if !fits {
		// Room for both, so that a caller who reuses it allocates once.
		room = make([]byte, 0, size+len(packed))
	}
	body, err := coder.Decompress(room, packed, h.UncompressedLength)
	if err != nil {
		return h, nil, &FrameError{Header: h, Why: "the body cannot be decompressed", Err: err}
	}
	if fits {
		// Down to the start, or a caller who reuses what it got would lose a
		// part of its buffer with each frame.
		body = packed[:copy(packed[:size+len(packed)], body)]
	}
	return h, body, nil
}
