//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package diskfile_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/internal/diskfile"
)

// A pipe in the place of a file, which nobody writes to, keeps nobody waiting.
func TestPipesAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := diskfile.ReadRegular(path, 10); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
}
