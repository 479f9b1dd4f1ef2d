package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go/pool/internal/conn"
)

// largestCredential bounds a credential file, in bytes.
const largestCredential = 1 << 20

// FileOption changes how [FileIdentity] and [CertificateFiles] read files.
type FileOption func(*fileRules)

type fileRules struct {
	warn func(path string, mode fs.FileMode)
}

// AllowReadableKeys lets key files be used that others on the machine may read or write, and
// calls warn, if it is not nil, each time one is read. Without it they are refused.
func AllowReadableKeys(warn func(path string, mode fs.FileMode)) FileOption {
	return func(r *fileRules) {
		if r.warn = warn; warn == nil {
			r.warn = func(string, fs.FileMode) {}
		}
	}
}

// credentialFile is a file that holds a key or certificates. A named pipe is read once,
// and what it held is kept.
type credentialFile struct {
	path   string
	secret bool
	rules  fileRules

	turn  chan struct{} // held by who reads the pipe; guards piped
	piped []byte
}

func newCredentialFile(path string, secret bool, options []FileOption) *credentialFile {
	f := &credentialFile{path: path, secret: secret, turn: make(chan struct{}, 1)}
	for _, option := range options {
		option(&f.rules)
	}
	return f
}

// read returns the content of the file.
func (f *credentialFile) read(ctx context.Context) ([]byte, error) {
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeNamedPipe != 0:
		return f.readPipe(ctx)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: neither a regular file nor a named pipe", f.path)
	}
	if err := f.checkMode(info.Mode()); err != nil {
		return nil, err
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readCredential(file)
}

// checkMode refuses keys that others may read. On Windows the mode says nothing.
func (f *credentialFile) checkMode(mode fs.FileMode) error {
	const others = 0o007
	switch {
	case !f.secret || runtime.GOOS == "windows" || mode.Perm()&others == 0:
		return nil
	case f.rules.warn == nil:
		return fmt.Errorf("%s: a key that others may use (mode %v); take their permissions away, or use AllowReadableKeys", f.path, mode.Perm())
	}
	f.rules.warn(f.path, mode)
	return nil
}

func readCredential(file *os.File) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, largestCredential+1))
	if err != nil {
		return nil, err
	}
	if len(content) > largestCredential {
		return nil, fmt.Errorf("%s: more than %d bytes", file.Name(), largestCredential)
	}
	return content, nil
}

// readPipe waits for somebody to write into the pipe, until ctx ends.
func (f *credentialFile) readPipe(ctx context.Context) ([]byte, error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, conn.Ended(ctx)
	}
	defer func() { <-f.turn }()
	if f.piped != nil {
		return f.piped, nil
	}
	p := pipeReader{path: f.path}
	stop := context.AfterFunc(ctx, p.interrupt)
	content, err := p.read()
	if stop(); ctx.Err() != nil {
		return nil, fmt.Errorf("%s: nobody writes into the pipe: %w", f.path, conn.Ended(ctx))
	}
	if err == nil && len(content) == 0 {
		err = fmt.Errorf("%s: the pipe was empty", f.path)
	}
	if err != nil {
		return nil, err
	}
	f.piped = content
	return content, nil
}

// pipeReader is one read of a pipe that can be interrupted.
type pipeReader struct {
	path string

	mu          sync.Mutex
	file        *os.File // nil while it is being opened, which waits for a writer
	interrupted bool
}

func (p *pipeReader) read() ([]byte, error) {
	file, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p.mu.Lock()
	p.file = file
	over := p.interrupted
	p.mu.Unlock()
	if over {
		return nil, errors.New("interrupted")
	}
	return readCredential(file)
}

// interrupt ends the read: an opening by being the writer for a moment.
func (p *pipeReader) interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interrupted = true
	if p.file != nil {
		p.file.SetReadDeadline(time.Unix(1, 0))
		return
	}
	touchPipe(p.path)
}
