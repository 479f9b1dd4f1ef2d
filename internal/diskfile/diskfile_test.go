package diskfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/celeriant/celeriant-go/internal/diskfile"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := diskfile.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := diskfile.Lock(path); !errors.Is(err, diskfile.ErrLocked) {
		t.Errorf("the second lock gave %v", err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := diskfile.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := diskfile.Lock(filepath.Join(path, "below a file")); err == nil || errors.Is(err, diskfile.ErrLocked) {
		t.Error(err)
	}
}

func TestReadRegular(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := diskfile.ReadRegular(path, 4); err != nil || string(got) != "1234" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := diskfile.ReadRegular(path, 3); err == nil {
		t.Error("read more than the limit")
	}
	if _, err := diskfile.ReadRegular(filepath.Dir(path), 4); err == nil {
		t.Error("read a folder")
	}
	if _, err := diskfile.ReadRegular(path+".none", 4); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestSyncFolder(t *testing.T) {
	worn := errors.New("the disk is worn out")
	err := diskfile.SyncFolder(t.TempDir(), func(*os.File) error { return worn })
	if runtime.GOOS != "windows" && !errors.Is(err, worn) {
		t.Error(err)
	}
}
