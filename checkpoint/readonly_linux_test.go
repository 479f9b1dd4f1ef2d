package checkpoint_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// unprivileged runs do without the rights that let root write anywhere: as
// another user, as far as files go, on this thread only.
func unprivileged(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := syscall.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setfsuid(0); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

//covers:store
func TestReadOnlyFolder(t *testing.T) {
	parent := t.TempDir()
	used := filepath.Join(parent, "used")
	s := openFile(t, used, checkpoint.FileOptions{})
	mustSave(t, s, mustAcquire(t, s), versionOf(0, 1))
	mustClose(t, s)
	empty := filepath.Join(parent, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	// Nothing that unprivileged runs as may write in any of these.
	for _, path := range []string{filepath.Join(used, "LOCK"), filepath.Join(used, "checkpoints.log")} {
		if err := os.Chmod(path, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{used, empty, parent} {
		if err := os.Chmod(path, 0o555); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(path, 0o755)
	}
	// The test's own temporary folder is closed to others.
	for dir := filepath.Dir(parent); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{used, empty, filepath.Join(parent, "new")} {
		unprivileged(t, func() {
			_, err := checkpoint.OpenFile(t.Context(), path, checkpoint.FileOptions{})
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), path) {
				t.Errorf("opening %s: %v, want a permission error that names it", path, err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(parent, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was created: %v", err)
	}
}
