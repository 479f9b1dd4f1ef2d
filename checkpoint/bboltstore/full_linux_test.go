package bboltstore_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/bboltstore"
	"github.com/celeriant/celeriant-go/internal/storefaults"
)

// fullFolder is the environment variable that turns the test program into one that may
// not write long files; the store is in this folder.
const fullFolder = "BBOLTSTORE_TEST_FULL"

// A file that may not grow refuses a save as a whole, and takes it once there is room.
// The limit is a process's, so that the store is in a process of its own.
func TestFileIsFull(t *testing.T) {
	if folder := os.Getenv(fullFolder); folder != "" {
		fillUp(t, folder)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFileIsFull$", "-test.v")
	cmd.Env = append(os.Environ(), fullFolder+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func fillUp(t *testing.T, folder string) {
	signal.Ignore(syscall.SIGXFSZ) // then writing fails with EFBIG
	s, err := bboltstore.Open(t.Context(), filepath.Join(folder, "store.db"), bboltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	cramped := limit
	cramped.Cur = 256 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &cramped); err != nil {
		t.Fatal(err)
	}
	err = storefaults.Full(t, s, func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit) })
	if !strings.Contains(err.Error(), syscall.EFBIG.Error()) {
		t.Errorf("saving to a full file: %v, want what the system says", err)
	}
}
