package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// failing writes n bytes and then fails.
type failing struct {
	to  io.Writer
	n   int
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	n := min(len(p), f.n)
	f.n -= n
	if f.to != nil {
		f.to.Write(p[:n])
	}
	if n < len(p) {
		return n, f.err
	}
	return n, nil
}

// However much of the lines is written before a failure, positions are those
// of the lines written whole.
func TestPositionsAreThoseOfWholeLines(t *testing.T) {
	const lines = 3
	line := strings.Repeat("x", writeSize/2) + "\n" // so that writes end in the middle of lines
	for n := range lines*len(line) + 1 {
		if n%97 > 0 && n%len(line) > 1 && n%len(line) < len(line)-1 {
			continue // near the ends of lines all, elsewhere some
		}
		p := Printout{To: &failing{n: n, err: syscall.EPIPE}}
		for i := range uint64(lines) {
			p.Buffer = append(p.Buffer, line...)
			p.marks = append(p.marks, mark{len(p.Buffer), checkpoint.Entry{Cursor: checkpoint.Cursor{Version: i + 1}}, i != 1})
		}
		err := p.Flush(t.Context())
		var got []uint64
		for _, e := range p.Written {
			got = append(got, e.Cursor.Version)
		}
		want := map[int][]uint64{0: nil, 1: {1}, 2: {1}, 3: {1, 3}}[n/len(line)] // the second line has no position
		if !slices.Equal(got, want) || (err == nil) != (n == lines*len(line)) || err != nil && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("after %d bytes: positions %v, %v; want %v", n, got, err, want)
		}
		if again := p.Flush(t.Context()); err != nil && again != err {
			t.Errorf("after a failure flush says %v", again)
		}
	}
}

// The beginning of a line that could not be finished is taken off a file,
// unless somebody else has written behind it.
func TestTornLinesAreTakenBack(t *testing.T) {
	for _, flags := range []int{0, os.O_APPEND} {
		path := filepath.Join(t.TempDir(), "out")
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|flags, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		file.WriteString("whole\nto")
		mend(file, 2)
		file.WriteString("whole\n")
		if text, err := os.ReadFile(path); err != nil || string(text) != "whole\nwhole\n" {
			t.Errorf("the file holds %q, %v", text, err)
		}
		other, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		file.WriteString("to")
		other.WriteString("other\n")
		if flags == 0 {
			mend(file, 2)
			if text, err := os.ReadFile(path); err != nil || string(text) != "whole\nwhole\ntoother\n" {
				t.Errorf("the file holds %q, %v", text, err)
			}
		}
	}
}

// stuck blocks after n bytes until it is released.
type stuck struct {
	n       int
	release chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	if s.n -= len(p); s.n < 0 {
		<-s.release
	}
	return len(p), nil
}

func TestAReaderThatSleepsIsNotWaitedForAtTheEnd(t *testing.T) {
	t.Parallel() // it waits more than it works
	s := &stuck{n: 3 * writeSize, release: make(chan struct{})}
	defer close(s.release)
	p := Printout{To: s}
	for i := range uint64(8) {
		p.Buffer = append(p.Buffer, make([]byte, writeSize/2+1)...)
		p.marks = append(p.marks, mark{len(p.Buffer), checkpoint.Entry{Cursor: checkpoint.Cursor{Version: i + 1}}, true})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Flush(ctx); !errors.Is(err, errStuck) || len(p.Written) != 5 {
		t.Errorf("%v, %d positions", err, len(p.Written))
	}
}
