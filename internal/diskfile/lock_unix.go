//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package diskfile

import (
	"errors"
	"os"
	"syscall"
)

// Lock opens the file at path, which it creates for its owner alone, and locks it
// against other processes and other calls of this one. Closing the file releases
// the lock; so does the end of the process. Lock fails with ErrLocked at once
// when somebody else holds the lock.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, &os.PathError{Op: "lock", Path: path, Err: err}
}

// SyncFolder forces the names in a folder to the disk, with force, which is
// (*os.File).Sync except in tests.
func SyncFolder(path string, force func(*os.File) error) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(force(d), d.Close())
}
