// Package diskfile holds what stores on disk need of the operating system: a
// lock that keeps other processes out, a folder forced to the disk, and reading
// of files whose size is bounded.
package diskfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrLocked: another process, or another store of this one, holds the lock.
var ErrLocked = errors.New("locked: open elsewhere")

// ReadRegular reads a regular file of at most limit bytes. Files of other kinds
// are refused unopened: a named pipe could block whoever opens it for ever.
func ReadRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return content, nil
}
