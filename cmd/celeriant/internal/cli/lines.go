package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// lines reads lines in a goroutine of its own, because a read of a terminal
// cannot be interrupted: the command ends, the goroutine with the process.
type lines struct{ read chan inputLine }

type inputLine struct {
	number uint64
	text   []byte
	err    error
}

// StartLines begins to read lines of at most longest bytes.
func StartLines(ctx context.Context, in io.Reader, longest int) *lines {
	l := &lines{read: make(chan inputLine)}
	go l.run(ctx, in, longest)
	return l
}

func (l *lines) run(ctx context.Context, in io.Reader, longest int) {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 64<<10), longest)
	number := uint64(0)
	send := func(line inputLine) bool {
		select {
		case l.read <- line:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for scanner.Scan() {
		number++
		if !send(inputLine{number, bytes.Clone(bytes.TrimSpace(scanner.Bytes())), nil}) {
			return
		}
	}
	err := scanner.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		err = fmt.Errorf("line %d is longer than %d bytes", number+1, longest)
	case err != nil:
		err = fmt.Errorf("reading line %d: %w", number+1, err)
	default:
		err = io.EOF
	}
	send(inputLine{number, nil, err})
}

// Next returns the next line and its number; after the last one io.EOF.
func (l *lines) Next(ctx context.Context) (uint64, []byte, error) {
	select {
	case line := <-l.read:
		return line.number, line.text, line.err
	case <-ctx.Done():
		return 0, nil, fmt.Errorf("waiting for input: %w", context.Cause(ctx))
	}
}
