package conn

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// large is a page that counts against the memory.
func large() *msg.ReadResponse {
	return &msg.ReadResponse{Batches: []msg.Batch{{Version: 1, Events: []msg.Event{{Major: 1, Value: make([]byte, 2*trustedLength)}}}}}
}

// answering is a node that answers each read with a large page, and pauses in it.
func answering(t *testing.T, pause time.Duration) func(net.Conn) {
	return func(nc net.Conn) {
		for {
			version, req := next(t, nc)
			if req == nil {
				return
			}
			frame := frameOf(t, version, req, large())
			nc.Write(frame[:readBuffer])
			time.Sleep(pause)
			nc.Write(frame[readBuffer:])
		}
	}
}

// free reports whether all of the memory is.
func (m *Memory) free() bool {
	ok := m.taken.TryAcquire(m.size)
	if ok {
		m.taken.Release(m.size)
	}
	return ok
}

// A large answer waits for the memory that others have, and gives it back whatever
// becomes of it. The wait ends with the time for an answer, or with the caller.
func TestLargeAnswersShareMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := NewMemory(3 * trustedLength)
		read := func(ctx context.Context, pause time.Duration) error {
			c := connected(t, Config{Memory: memory}, answering(t, pause))
			defer c.Close()
			_, a := c.Do(ctx, &msg.ReadRequest{}, 2*time.Second)
			if a.Err != nil && !c.Broken() {
				t.Errorf("after %v the connection is in order", a.Err)
			}
			return a.Err
		}
		for range 3 {
			if err := read(t.Context(), 0); err != nil || !memory.free() {
				t.Fatalf("%v, free %v", err, memory.free())
			}
		}
		others, err := memory.take(t.Context(), 2*trustedLength, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := read(t.Context(), 0); !errors.Is(err, ErrMemory) || errors.Is(err, ErrRequestTimeout) || time.Since(began) != 2*time.Second {
			t.Errorf("no memory: %v after %v", err, time.Since(began))
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := read(short, 0); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrMemory) {
			t.Errorf("a caller who leaves: %v", err)
		}
		time.AfterFunc(1900*time.Millisecond, others)
		if err := read(t.Context(), 2100*time.Millisecond); err != nil { // the wait is not the node's
			t.Errorf("memory in time: %v", err)
		}
		if !memory.free() {
			t.Error("memory is missing")
		}
	})
}

// An answer as long as all of the memory has its turn; a short one needs none.
func TestMemoryOfAnyAnswer(t *testing.T) {
	memory := NewMemory(2 * trustedLength)
	all, err := memory.take(t.Context(), 1<<40, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	small, err := memory.take(t.Context(), trustedLength, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	small()
	all()
	if !memory.free() {
		t.Error("memory is missing")
	}
}
