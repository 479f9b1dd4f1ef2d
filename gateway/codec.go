package gateway

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// frame is a message that is encoded already.
type frame struct{ data mem.Buffer }

var frames = mem.DefaultBufferPool()

// newFrame returns a frame whose body of n bytes fill appends.
func newFrame(n int, fill func(b []byte) []byte) *frame {
	buffer := frames.Get(n)
	*buffer = fill((*buffer)[:0])
	return &frame{data: mem.NewBuffer(buffer, frames)}
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
