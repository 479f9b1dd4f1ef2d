package gateway

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// frame is a message that is encoded already.
type frame struct{ data mem.Buffer }

var frames framePool

// framePool keeps buffers of powers of two from 1 KiB on. The pool does not clear
// them, as the pools of grpc-go do, which costs more than the encoding: a frame is
// written before it is sent.
type framePool [15]sync.Pool

const smallestFrame = 10 // the power of two

// Get implements mem.BufferPool.
func (p *framePool) Get(n int) *[]byte {
	tier := max(0, bits.Len(uint(max(n, 1)-1))-smallestFrame)
	if tier >= len(p) {
		b := make([]byte, n)
		return &b
	}
	if b, ok := p[tier].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<(tier+smallestFrame))
	return &b
}

// Put implements mem.BufferPool.
func (p *framePool) Put(b *[]byte) {
	tier := bits.Len(uint(cap(*b))) - 1 - smallestFrame
	if tier >= 0 && tier < len(p) && cap(*b) == 1<<(tier+smallestFrame) {
		p[tier].Put(b)
	}
}

// newFrame returns a frame whose body of n bytes fill appends.
func newFrame(n int, fill func(b []byte) []byte) *frame {
	buffer := frames.Get(n)
	*buffer = fill((*buffer)[:0])
	return &frame{data: mem.NewBuffer(buffer, &frames)}
}

// codec is the codec of Protocol Buffers, which sends frames as they are.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{f.data}, nil
	}
	return c.CodecV2.Marshal(v)
}
