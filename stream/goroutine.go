package stream

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutineID returns the number of the calling goroutine, from the first line of its
// stack trace. goroutineID only tells whether a call comes from inside a callback,
// where it must not wait for that callback to return; 0, which no goroutine has,
// means that the line could not be read.
func goroutineID() uint64 {
	var line [64]byte
	rest, ok := bytes.CutPrefix(line[:runtime.Stack(line[:], false)], []byte("goroutine "))
	if !ok {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	id, _ := strconv.ParseUint(string(digits), 10, 64)
	return id
}
