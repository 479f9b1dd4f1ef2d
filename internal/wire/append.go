package wire

import (
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// CompressThreshold is the size in bytes from which a sender that has the
// dictionary compresses. Protocol section 9.2.
const CompressThreshold = 1024

// AppendRequest appends the complete frame of a request to dst. A write is
// compressed when coder is not nil and its payloads add up to
// CompressThreshold bytes, a schema when it has as many; a body that
// compression would not make shorter goes out as it is.
//
// A fixed-class body over FixedBodyLimit, or a body over limit bytes (0 means
// 2 GiB), is refused with a *SizeError; text that is
// not UTF-8 and other values the protocol cannot carry with an *EncodeError.
// Then dst is returned unchanged. req is only read.
func AppendRequest(dst []byte, v Version, req msg.Request, coder *Coder, limit uint32) ([]byte, error) {
	t := req.RequestType()
	f := framing{version: v, message: t.String(), number: uint32(t), class: requestClass(uint32(t)), limit: limit}
	c, err := f.start(dst)
	if err != nil {
		return dst, err
	}
	c.request(req)
	compress := coder != nil && payload(req) >= CompressThreshold
	return f.finish(dst, &c, coder, compress)
}

// AppendResponse is AppendRequest for a response. Read, watch and list
// responses are compressed when coder is not nil, which it must be only on a
// connection whose client has identified, and the body has at least
// CompressThreshold bytes.
func AppendResponse(dst []byte, v Version, resp msg.Response, coder *Coder, limit uint32) ([]byte, error) {
	t := resp.ResponseType()
	f := framing{version: v, message: t.String(), number: uint32(t), class: responseClass(uint32(t)), limit: limit}
	c, err := f.start(dst)
	if err != nil {
		return dst, err
	}
	c.response(resp)
	compress := f.class == variable && coder != nil && len(c.out)-len(dst)-HeaderSize >= CompressThreshold
	return f.finish(dst, &c, coder, compress)
}

// payload is the logical payload of a request; those that are never compressed
// have none.
func payload(req msg.Request) int {
	total := 0
	switch m := req.(type) {
	case *msg.RegisterSchemaRequest:
		total = len(m.Schema)
	case *msg.WriteRequest:
		for i := range m.Writes {
			for j := range m.Writes[i].Events {
				total += len(m.Writes[i].Events[j].Value)
			}
		}
	}
	return total
}

// framing is what the making of a frame needs to know of the message.
type framing struct {
	version Version
	message string
	number  uint32
	class   class
	limit   uint32
}

// start leaves room for the header.
func (f *framing) start(dst []byte) (codec, error) {
	if f.version != V2 && f.version != V3 {
		return codec{}, &EncodeError{Message: f.message, Why: fmt.Sprintf("there is no protocol version %d", uint32(f.version))}
	}
	return writer(f.version, append(dst, make([]byte, HeaderSize)...)), nil
}

// finish checks and perhaps compresses the body behind dst and fills in its
// header.
func (f *framing) finish(dst []byte, c *codec, coder *Coder, compress bool) ([]byte, error) {
	if c.unfit != "" {
		return dst, &EncodeError{Message: f.message, Why: c.unfit}
	}
	start := len(dst) + HeaderSize
	out, size := c.out, len(c.out)-start
	if err := f.checkSize(uint64(size)); err != nil {
		return dst, err
	}
	h := Header{Version: f.version, Type: f.number, UncompressedLength: uint32(size)}
	if compress {
		packed := coder.Compress(out, out[start:])
		if n := len(packed) - len(out); n < size {
			copy(packed[start:], packed[len(out):])
			out, h.Compression = packed[:start+n], ZstdDict
		}
	}
	h.CompressedLength = uint32(len(out) - start)
	h.Append(out[:len(dst)])
	return out, nil
}

func (f *framing) checkSize(size uint64) error {
	most := uint64(maxBody)
	if f.limit != 0 {
		most = min(most, uint64(f.limit))
	}
	tight := f.class == fixed && most >= FixedBodyLimit
	if tight {
		most = FixedBodyLimit
	}
	if size > most {
		return &SizeError{Message: f.message, Size: size, Limit: most, Fixed: tight}
	}
	return nil
}
