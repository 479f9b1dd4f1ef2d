//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package pool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/pool"
)

// A named pipe may stand in the place of a file: it is read once. One that nobody writes
// to keeps nobody waiting for longer than the context allows.
func TestPipesAsFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Fatal(err)
	}
	read := pool.FileIdentity("", path)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := read(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody writes: %v", err)
	}
	go func() {
		if err := os.WriteFile(path, pemOf("PRIVATE KEY", pkcs8(t, rsaKey())), 0); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		if got, err := read(ctx); err != nil || got.KeyPair.ClientID() != keyPair(t).ClientID() {
			t.Errorf("%v, %v", got, err)
		}
	}
	// A writer that stays silent keeps nobody waiting either.
	silent, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	short, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := pool.RootsFile(path)(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent writer: %v", err)
	}
}

// A key that others on the machine may use is refused, or warned of where that is wanted.
func TestKeysReadableByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pemOf("PRIVATE KEY", pkcs8(t, rsaKey())), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o602: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.FileIdentity("", path)(ctx); (err != nil) != refused {
			t.Errorf("mode %o: %v", mode, err)
		}
		warned := 0
		if _, err := pool.FileIdentity("", path, pool.AllowReadableKeys(func(string, os.FileMode) { warned++ }))(ctx); err != nil || (warned > 0) != refused {
			t.Errorf("mode %o allowed: warned %d times, %v", mode, warned, err)
		}
		if _, err := pool.CertificateFiles(path, path)(ctx); err == nil { // not a certificate, in any mode
			t.Error("taken for a certificate")
		}
	}
}
