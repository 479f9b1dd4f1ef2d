//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// nobody is an account that may write nowhere.
const nobody = 65534

// The superuser may write everywhere, so the program runs as somebody else.
func TestReadOnlyFolder(t *testing.T) {
	path := buildBinary(t)
	dir, err := os.MkdirTemp("", "flights-readonly")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{dir, filepath.Join(dir, "new")} {
		cmd := exec.Command(path, "--dir", folder)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) {
			t.Fatal(err)
		}
		wantFailure(t, exit.ExitCode(), out.String(), said.String(), []string{folder})
	}
}
