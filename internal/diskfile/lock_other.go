//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package diskfile

import (
	"errors"
	"os"
)

// Lock refuses: without a lock two processes could write one file.
func Lock(path string) (*os.File, error) {
	return nil, &os.PathError{Op: "lock", Path: path, Err: errors.ErrUnsupported}
}

// SyncFolder refuses: nothing says how to force a folder to the disk here.
func SyncFolder(string, func(*os.File) error) error { return errors.ErrUnsupported }
