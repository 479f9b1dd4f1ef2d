package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

const (
	// printoutSize is how many bytes of lines are collected at most before they
	// are written.
	printoutSize = 64 << 10
	// writeSize is what a pipe takes as a whole or not at all, so that it is known
	// to the byte what a reader that has stopped reading was given.
	writeSize = 4 << 10
	// writeGrace is how long a reader may take to read on after the end was asked for.
	writeGrace = 2 * time.Second
)

// errStuck says that standard output is not read any more.
var errStuck = errors.New("nobody reads on")

// printout is standard output in lines, each with the position behind it.
type printout struct {
	to      io.Writer
	buffer  []byte
	marks   []mark
	written []checkpoint.Entry // positions of lines that were written whole, in order
	failed  error              // nothing more can be written
}

// mark is a line in the buffer.
type mark struct {
	end   int // of the line
	entry checkpoint.Entry
	moves bool // there is a position
}

// flush writes all lines. When ctx ends, a reader that has stopped reading is
// not waited for much longer. After an error nothing is written any more.
func (p *printout) flush(ctx context.Context) error {
	if p.failed != nil || len(p.buffer) == 0 {
		return p.failed
	}
	n, err := p.write(ctx)
	whole := 0
	for _, m := range p.marks {
		if m.end > n {
			break
		}
		whole = m.end
		if m.moves {
			p.written = append(p.written, m.entry)
		}
	}
	p.marks = p.marks[:0]
	if err != nil {
		p.failed = fmt.Errorf("writing to standard output: %w", err)
		mend(p.to, int64(n-whole))
		return p.failed
	}
	p.buffer = p.buffer[:0]
	return nil
}

// write returns how many bytes were written, to the byte.
func (p *printout) write(ctx context.Context) (int, error) {
	var written atomic.Int64
	done := make(chan error, 1)
	go func() {
		for rest := p.buffer; len(rest) > 0; {
			n, err := p.to.Write(rest[:min(len(rest), writeSize)])
			written.Add(int64(n))
			if err != nil {
				done <- err
				return
			}
			rest = rest[n:]
		}
		done <- nil
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done:
		case <-time.After(writeGrace):
			err = errStuck
		}
	}
	return int(written.Load()), err
}

// mend takes the beginning of a line off a file again whose end could not be
// written, so that the next line appended to it stands by itself.
func mend(to io.Writer, torn int64) {
	file, ok := to.(*os.File)
	if !ok || torn == 0 {
		return
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	end, err := file.Seek(0, io.SeekCurrent)
	if err != nil || end != info.Size() {
		return // others write to it, too
	}
	if file.Truncate(end-torn) == nil {
		_, _ = file.Seek(end-torn, io.SeekStart) // for those who share it
	}
}
