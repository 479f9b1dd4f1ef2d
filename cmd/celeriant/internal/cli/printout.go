package cli

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
	// PrintoutSize is how many bytes of lines are collected at most before they
	// are written.
	PrintoutSize = 64 << 10
	// writeSize is what a pipe takes as a whole or not at all, so that it is known
	// to the byte what a reader that has stopped reading was given.
	writeSize = 4 << 10
	// writeGrace is how long a reader may take to read on after the end was asked for.
	writeGrace = 2 * time.Second
)

// errStuck says that standard output is not read any more.
var errStuck = errors.New("nobody reads on")

// Printout is standard output in lines, each with the position behind it.
type Printout struct {
	To      io.Writer
	Buffer  []byte
	marks   []mark
	Written []checkpoint.Entry // positions of lines that were written whole, in order
	failed  error              // nothing more can be written
}

// mark is a line in the buffer.
type mark struct {
	end   int // of the line
	entry checkpoint.Entry
	moves bool // there is a position
}

// EndLine notes that the buffer ends with a whole line, and the position behind it if
// there is one.
func (p *Printout) EndLine(position checkpoint.Entry, moves bool) {
	p.marks = append(p.marks, mark{len(p.Buffer), position, moves})
}

// Lines returns how many lines are in the buffer, or written without their positions having been taken.
func (p *Printout) Lines() int { return len(p.marks) + len(p.Written) }

// Flush writes all lines. When ctx ends, a reader that has stopped reading is
// not waited for much longer. After an error nothing is written any more.
func (p *Printout) Flush(ctx context.Context) error {
	if p.failed != nil || len(p.Buffer) == 0 {
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
			p.Written = append(p.Written, m.entry)
		}
	}
	p.marks = p.marks[:0]
	if err != nil {
		p.failed = fmt.Errorf("writing to standard output: %w", err)
		mend(p.To, int64(n-whole))
		return p.failed
	}
	p.Buffer = p.Buffer[:0]
	return nil
}

// write returns how many bytes were written, to the byte.
func (p *Printout) write(ctx context.Context) (int, error) {
	var written atomic.Int64
	done := make(chan error, 1)
	go func() {
		for rest := p.Buffer; len(rest) > 0; {
			n, err := p.To.Write(rest[:min(len(rest), writeSize)])
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
