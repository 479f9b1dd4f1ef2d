package memnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/memnet"
)

func TestBytesArriveInOrderThroughASmallBuffer(t *testing.T) {
	a, b := memnet.Pair("a", "b", 1500)
	want := make([]byte, 100_000)
	for i := range want {
		want[i] = byte(i * 7)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for rest := want; len(rest) > 0; {
			n, err := a.Write(rest[:min(len(rest), 777)])
			if err != nil {
				t.Error(err)
				break
			}
			rest = rest[n:]
		}
		_ = a.Close()
	})
	got, err := io.ReadAll(b)
	wg.Wait()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
}

func TestWritesAreBufferedUpToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pair("a", "b", 2000)
		if n, err := a.Write(make([]byte, 2000)); n != 2000 || err != nil {
			t.Fatalf("a write into an empty buffer: %d, %v", n, err)
		}
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		start := time.Now()
		n, err := a.Write([]byte("x"))
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Fatalf("a write into a full buffer: %d, %v after %v", n, err, time.Since(start))
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("%v is no timeout", err)
		}
		if _, err := io.ReadFull(b, make([]byte, 2000)); err != nil {
			t.Fatal(err)
		}
		_ = a.SetWriteDeadline(time.Time{})
		if n, err := a.Write([]byte("x")); n != 1 || err != nil {
			t.Fatalf("a write after the buffer was emptied: %d, %v", n, err)
		}
	})
}

func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pair("a", "b", 100)
		start := time.Now()
		_ = b.SetReadDeadline(start.Add(3 * time.Second))
		// Moved while the read waits: the later deadline counts.
		go func() {
			time.Sleep(2 * time.Second)
			_ = b.SetReadDeadline(start.Add(7 * time.Second))
		}()
		_, err := b.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 7*time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		_, _ = a.Write([]byte("z"))
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a read past its deadline: %v", err)
		}
		_ = b.SetDeadline(time.Time{})
		if n, err := b.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Fatalf("a read after the deadline was lifted: %d, %v", n, err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pair("a", "b", 100)
		_, _ = a.Write([]byte("last words"))
		go func() {
			time.Sleep(time.Second)
			_ = a.Close()
		}()
		got, err := io.ReadAll(b)
		if string(got) != "last words" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("a write to a closed peer: %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("a read on a closed end: %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("a write on a closed end: %v", err)
		}
	})
}

func TestCloseWakesItsOwnReaderAndWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := memnet.Pair("a", "b", 1)
		_, _ = a.Write([]byte("x"))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("reader: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("writer: %v", err)
			}
		})
		synctest.Wait()
		_ = a.Close()
		wg.Wait()
	})
}

func TestListener(t *testing.T) {
	ctx := context.Background()
	l := memnet.Listen("node", 100)
	client, err := l.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = client.Write([]byte("hi"))
	if _, err := io.ReadFull(server, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if server.LocalAddr().String() != "node" || server.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("addresses %v, %v, %v", server.LocalAddr(), server.RemoteAddr(), client.LocalAddr())
	}

	unaccepted, err := l.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := unaccepted.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a connection nobody accepted: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := l.Dial(ctx); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial after Close: %v", err)
	}
}

func TestDialHonoursItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("node", 100)
		defer l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for {
			if _, err := l.Dial(ctx); err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				return
			}
		}
	})
}
