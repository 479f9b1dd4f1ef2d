package conn

import "sync"

// A buffer above keptBuffer is left to the garbage collector instead of being
// kept for the next request.
const keptBuffer = 4 << 20

// buffers hold encoded requests and the bodies of answers that do not outlive
// their decoding.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 2048)
	return &b
}}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

// putBuffer takes back a buffer that may have grown into used.
func putBuffer(b *[]byte, used []byte) {
	if cap(used) > keptBuffer {
		return
	}
	if cap(used) > cap(*b) {
		*b = used[:0]
	}
	buffers.Put(b)
}
