package checkpoint

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/celeriant/celeriant-go/internal/diskfile"
)

// disk is what a file store does to a file system. Tests put faults and power
// cuts behind it.
type disk interface {
	// open opens an existing file for reading and writing.
	open(path string) (diskFile, error)
	// create makes an empty file, in place of any old one.
	create(path string) (diskFile, error)
	rename(from, to string) error
	remove(path string) error
	// syncDir makes creations, renames and removals in a folder durable.
	syncDir(path string) error
}

// diskFile is an open file.
type diskFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	size() (int64, error)
	truncate(size int64) error
	// sync makes content and size durable.
	sync() error
	// isAt reports whether path still names this file.
	isAt(path string) (bool, error)
}

// osDisk is the file system of the operating system. Its errors name the path.
type osDisk struct{}

func (osDisk) open(path string) (diskFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) create(path string) (diskFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (osDisk) syncDir(path string) error { return diskfile.SyncFolder(path, (*os.File).Sync) }

type osFile struct{ *os.File }

func (f osFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) truncate(size int64) error { return f.Truncate(size) }

func (f osFile) sync() error { return fdatasync(f.File) }

func (f osFile) isAt(path string) (bool, error) { return isAt(f.File, path) }

// isAt reports whether path names the open file.
func isAt(f *os.File, path string) (bool, error) {
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	opened, err := f.Stat()
	return err == nil && os.SameFile(now, opened), err
}
