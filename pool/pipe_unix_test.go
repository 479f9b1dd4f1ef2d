//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package pool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/pool"
)

// A pipe in the place of a file, which nobody writes to, keeps nobody waiting.
func TestPipesAreNoFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(context.Context) error{
		"API key":     func(ctx context.Context) error { return second(pool.FileIdentity(path, "")(ctx)) },
		"key pair":    func(ctx context.Context) error { return second(pool.FileIdentity("", path)(ctx)) },
		"authorities": func(ctx context.Context) error { return second(pool.RootsFile(path)(ctx)) },
		"certificate": func(ctx context.Context) error { return second(pool.CertificateFiles(path, path)(ctx)) },
	} {
		done := make(chan error, 1)
		go func() { done <- read(ctx) }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "not a regular file") || errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: still waiting", name)
		}
	}
}
