package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

const (
	logName = "checkpoints.log"
	tmpName = "checkpoints.tmp"

	// moveChunk is how many entries a record of a compacted log holds.
	moveChunk = 4096
	// keepBuffer is how large a buffer is kept for the next record.
	keepBuffer = 1 << 20
)

// errMoved: the folder is another one than was opened.
var errMoved = errors.New("it was removed or replaced while it was open")

// journal is the log on disk. The journal belongs to whoever holds the store's
// turn.
type journal struct {
	disk   disk
	dir    string
	file   diskFile
	size   int64
	number uint64 // of the last record
	noSync bool
	buffer []byte
	// failed is set for good when what the disk holds is no longer known.
	failed error
}

func (j *journal) path() string { return filepath.Join(j.dir, logName) }

// open reads the log into x, creating it if there is none, and cuts a torn
// tail off.
func (j *journal) open(ctx context.Context, x *index) error {
	if err := j.disk.remove(filepath.Join(j.dir, tmpName)); err != nil {
		return err
	}
	file, err := j.disk.open(j.path())
	if errors.Is(err, fs.ErrNotExist) {
		return j.rewrite(x)
	}
	if err != nil {
		return err
	}
	j.file = file
	if err := j.recover(ctx, x); err != nil {
		return errors.Join(err, j.close())
	}
	return nil
}

func (j *journal) recover(ctx context.Context, x *index) error {
	t, err := replay(ctx, j.file, j.path(), x.replay)
	if err != nil {
		return err
	}
	size, err := j.file.size()
	if err != nil {
		return err
	}
	if t.end < size && !t.sealed {
		// Not flushed: until a record takes its place it is cut off again.
		if err := j.file.truncate(t.end); err != nil {
			return err
		}
	}
	j.size, j.number = t.end, t.last
	if t.format != logFormat {
		// Earlier releases must not read what they would take for damage.
		return j.rewrite(x)
	}
	return nil
}

// write makes a change durable.
func (j *journal) write(c change) error {
	return j.append(appendChange(j.buffer[:0], j.number+1, c))
}

// append writes one record. When it fails the record is not in the log, or
// the journal has failed for good.
func (j *journal) append(record []byte) error {
	if j.failed != nil {
		return j.failed
	}
	if cap(record) <= keepBuffer {
		j.buffer = record
	}
	if _, err := j.file.WriteAt(record, j.size); err != nil {
		// Half a record may be there. As a torn tail it would do no harm, but
		// the next record must not be longer in doubt than this one.
		if cut := j.file.truncate(j.size); cut != nil {
			return j.fail(errors.Join(err, cut))
		}
		return err
	}
	if !j.noSync {
		// After a failed flush the kernel may have dropped the pages and report
		// success the next time, so this is never tried again.
		if err := j.file.sync(); err != nil {
			return j.fail(err)
		}
	}
	j.size += int64(len(record))
	j.number++
	j.seal()
	return nil
}

// seal marks the last record as one that was stored whole. The seal only helps a later
// Open to tell damage from a crash, and so is nothing to wait or to fail for.
func (j *journal) seal() {
	if !j.noSync {
		_, _ = j.file.WriteAt(appendSeal(nil, j.number), j.size)
	}
}

// present fails for good if the log in use is no longer the one in the folder:
// what would be written would be gone with it.
func (j *journal) present() error {
	if j.failed != nil {
		return j.failed
	}
	same, err := j.file.isAt(j.path())
	if err != nil {
		return err
	}
	if !same {
		return j.fail(errMoved)
	}
	return nil
}

// fail makes every later change fail, and returns what this one returns.
func (j *journal) fail(cause error) error {
	j.failed = fmt.Errorf("%w: %s: %w", ErrFailed, j.path(), cause)
	return j.failed
}

// rewrite replaces the log by the shortest one that says what x says. When it
// fails, the old log is still in use, or the journal has failed for good.
func (j *journal) rewrite(x *index) error {
	tmp := filepath.Join(j.dir, tmpName)
	size, number, err := j.snapshot(tmp, x)
	if err != nil {
		return errors.Join(err, j.disk.remove(tmp))
	}
	// Windows renames neither an open file nor over one. From here on there is
	// no way back: only a fresh start tells which log is in place.
	if j.file != nil {
		err = j.file.Close()
		j.file = nil
	}
	if err == nil {
		err = j.disk.rename(tmp, j.path())
	}
	if err == nil {
		err = j.disk.syncDir(j.dir)
	}
	if err == nil {
		j.file, err = j.disk.open(j.path())
	}
	if err != nil {
		return j.fail(err)
	}
	j.size, j.number = size, number
	return nil
}

// snapshot writes all of x to a new file and makes it durable.
func (j *journal) snapshot(path string, x *index) (size int64, number uint64, err error) {
	f, err := j.disk.create(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	flush := func(b []byte) ([]byte, error) {
		_, err := f.WriteAt(b, size)
		size += int64(len(b))
		return b[:0], err
	}
	b := appendHeader(nil)
	err = x.dump(moveChunk, func(c change) error {
		number++
		b = appendChange(b, number, c)
		if len(b) < keepBuffer/4 {
			return nil
		}
		var err error
		b, err = flush(b)
		return err
	})
	if err == nil {
		_, err = flush(b)
	}
	if err == nil {
		err = f.sync()
	}
	if err == nil && number > 0 && !j.noSync {
		_, _ = f.WriteAt(appendSeal(nil, number), size)
	}
	return size, number, err
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
