package checkpoint

import (
	"errors"
	"os"
	"syscall"
)

// lockFile opens the file shared with nobody, which keeps other processes, and
// other stores of this one, out of the folder until it is closed.
func lockFile(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	const sharingViolation = syscall.Errno(32)
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case err == nil:
		return os.NewFile(uintptr(h), path), nil
	case errors.Is(err, sharingViolation):
		return nil, &LockedError{Path: path}
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

// syncDir does nothing: Windows cannot flush a folder; NTFS journals names.
func syncDir(string) error { return nil }
