//go:build !linux

package checkpoint

import "os"

func fdatasync(f *os.File) error { return f.Sync() }
