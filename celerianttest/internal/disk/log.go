package disk

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
)

// Log is the append-only file of one shard. An appended group survives a
// kill of the process at any byte; with sync also the loss of power.
type Log struct {
	File   *os.File
	sync   bool
	intact int64 // length of what is whole; whatever lies behind is garbage
	buffer []byte
}

// maxKeptRecords is how large a buffer is kept for the next commit group.
const maxKeptRecords = 1 << 20

// OpenLog opens or makes the file, applies its records in order, and cuts
// off a record that a killed process left unfinished. Damage elsewhere is an
// error: cutting there would lose what was acknowledged.
func OpenLog(path string, sync bool, apply func(*shard.Record) error) (*Log, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("celerianttest: opening a shard's file: %w", err)
	}
	f := &Log{File: file, sync: sync}
	f.intact, err = shard.ReadRecords(bufio.NewReaderSize(file, 1<<20), apply)
	if err == nil {
		err = f.CutTail()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("celerianttest: reading %s: %w", path, err), file.Close())
	}
	return f, nil
}

// CutTail removes what lies behind the last whole record.
func (f *Log) CutTail() error {
	if err := f.File.Truncate(f.intact); err != nil {
		return fmt.Errorf("cutting the torn tail at byte %d: %w", f.intact, err)
	}
	return nil
}

// Append stores a commit group. After an error the file holds an unknown part
// of it, which cutTail removes.
func (f *Log) Append(records []*shard.Record) error {
	f.buffer = f.buffer[:0]
	for _, r := range records {
		f.buffer = r.Append(f.buffer)
	}
	if _, err := f.File.WriteAt(f.buffer, f.intact); err != nil {
		return err
	}
	if f.sync {
		if err := f.File.Sync(); err != nil {
			return err
		}
	}
	f.intact += int64(len(f.buffer))
	if cap(f.buffer) > maxKeptRecords {
		f.buffer = nil
	}
	return nil
}

// Close closes the file. Appended records are kept.
func (f *Log) Close() error { return f.File.Close() }
