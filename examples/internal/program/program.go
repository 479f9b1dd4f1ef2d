// Package program runs an example for a test: as a function inside the test, or as a
// process of its own that can be killed.
package program

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Output keeps the lines that a program has printed.
type Output struct {
	io.Writer
	mu    sync.Mutex
	lines []string
	ended bool
	news  chan struct{} // closed with each line
}

func newOutput() *Output {
	r, w := io.Pipe()
	o := &Output{Writer: w, news: make(chan struct{})}
	go o.read(r)
	return o
}

func (o *Output) read(r io.Reader) {
	for scanner := bufio.NewScanner(r); scanner.Scan(); {
		o.tell(func() { o.lines = append(o.lines, scanner.Text()) })
	}
	o.tell(func() { o.ended = true })
}

func (o *Output) tell(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
	close(o.news)
	o.news = make(chan struct{})
}

// Has reports whether there is a line with some text.
func (o *Output) Has(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.lines, func(line string) bool { return strings.Contains(line, text) })
}

// Await waits for a line with some text and returns the word behind it.
func (o *Output) Await(t *testing.T, text string) string {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		o.mu.Lock()
		lines, ended, news := o.lines, o.ended, o.news
		o.mu.Unlock()
		for _, line := range lines {
			if _, after, found := strings.Cut(line, text); found {
				word, _, _ := strings.Cut(after, " ")
				return strings.TrimSuffix(word, ",")
			}
		}
		if ended {
			t.Fatalf("no %q in %q", text, lines)
		}
		select {
		case <-news:
		case <-late.C:
			t.Fatalf("no %q within %v, only %q", text, patience, lines)
		}
	}
}

// patience is how long tests wait for what programs do.
const patience = time.Minute

// Until asks again and again, as a browser does, until something is so.
func Until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for began := time.Now(); !so(); runtime.Gosched() {
		if time.Since(began) > patience {
			t.Fatalf("after %v it is not so that %s", patience, what)
		}
	}
}

// Function is a program that runs inside the test.
type Function struct {
	*Output
	stop  context.CancelFunc
	ended chan error
}

// Run starts the main function of a program.
func Run(t *testing.T, main func(ctx context.Context, out io.Writer) error) *Function {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &Function{Output: newOutput(), stop: cancel, ended: make(chan error, 1)}
	pipe := f.Writer.(*io.PipeWriter)
	go func() {
		err := main(ctx, f)
		pipe.Close()
		f.ended <- err
	}()
	t.Cleanup(cancel)
	return f
}

// Stop ends the program as Ctrl-C does, and fails the test if it does not end well.
func (f *Function) Stop(t *testing.T) {
	t.Helper()
	f.stop()
	if err := f.End(t); err != nil {
		t.Error(err)
	}
}

// End waits until the program has ended, and returns what it ended with.
func (f *Function) End(t *testing.T) error {
	t.Helper()
	select {
	case err := <-f.ended:
		return err
	case <-time.After(patience):
		t.Fatalf("it does not end within %v", patience)
		return nil
	}
}

// Build compiles the program in the test's folder.
func Build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// Process is a program of its own.
type Process struct {
	*Output
	cmd    *exec.Cmd
	killed bool
}

// Start starts a program that Build has made.
func Start(t *testing.T, path string, args ...string) *Process {
	t.Helper()
	p := &Process{Output: newOutput(), cmd: exec.Command(path, args...)}
	p.cmd.Stdout, p.cmd.Stderr = p.Output, p.Output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(t) })
	return p
}

// Kill ends the process in the middle of whatever it does.
func (p *Process) Kill(t *testing.T) {
	t.Helper()
	if p.killed {
		return
	}
	p.killed = true
	_ = p.cmd.Process.Kill() // it fails if it has ended already, which Wait tells
	err := p.cmd.Wait()
	p.Writer.(*io.PipeWriter).Close()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("it ended by itself: %v: %q", err, p.lines)
	}
}
