package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/celeriant/celeriant-go/msg"
)

// FileOptions are the choices of a file store. The zero value is a good one.
type FileOptions struct {
	// NoSync returns from Acquire, Save and Delete before the change is on the
	// disk. What was returned survives the death of the process, but not that
	// of the machine; after a power cut the store may even be found damaged.
	// Use it for read models that can be thrown away together with the store.
	NoSync bool
	// CompactBytes is the size of log below which it is not compacted; 0 means
	// 4 MiB. Beyond it the log is compacted when less than half of it is live.
	CompactBytes int64
}

// File is a Store in a folder of its own: a log of checksummed records, one for
// each change, flushed to the disk before the call returns (fdatasync; 0.2 ms
// on a fast disk, several on a slow one). Only one store at a time can have the
// folder open, across all processes of a machine; do not put it on a network
// file system.
//
// All cursors are also held in memory, roughly 150 to 300 bytes each, and read
// in full when the folder is opened. Where that is too much, use bboltstore.
//
// Changes take turns; waiting for a turn ends with the context, the write
// itself cannot be interrupted. Load and Scan do not wait for the disk and see
// what is durable. When the log has grown to twice its live content, the call
// that finds it so rewrites it, which takes it about a second per two million
// cursors.
//
// After an error of the disk the change is not applied. If that cannot be told,
// or not be undone, all further changes return ErrFailed until the folder is
// opened anew.
type File struct {
	index *index
	// turn holds one token: who has it may change the store, and owns journal,
	// lock, compactAt and closed.
	turn      chan struct{}
	journal   journal
	lock      *os.File
	closed    bool
	compactAt int64
	minimum   int64

	statMu sync.Mutex
	stat   FileStat
}

var _ Store = (*File)(nil)

// FileStat is a snapshot of a file store's size.
type FileStat struct {
	// Cursors is the number of cursors when the log was last looked at: at
	// opening and at each compaction.
	Cursors int
	// LogBytes is the length of the log.
	LogBytes int64
	// Compactions counts the rewrites of the log since it was opened.
	Compactions int
	// CompactionError is why the last rewrite failed, nil if it succeeded. The
	// save that triggered it was applied all the same.
	CompactionError error
}

// OpenFile opens the store in dir and creates both if they do not exist; the
// parent of dir must. It returns a [*LockedError] if the folder is open
// elsewhere, a [*VersionError] if another release wrote it in another format,
// and a [*DamagedError] if the log was changed by anything but this package. A
// record cut short at the end of the log, which a crash in the middle of a save
// leaves behind and which was never acknowledged, is removed.
func OpenFile(ctx context.Context, dir string, options FileOptions) (*File, error) {
	f, err := openFile(ctx, dir, options, osDisk{})
	if err != nil {
		return nil, fmt.Errorf("checkpoint: opening the file store in %s: %w", dir, err)
	}
	return f, nil
}

func openFile(ctx context.Context, dir string, options FileOptions, d disk) (*File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := makeFolder(dir, d); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, err
	}
	f := &File{
		index:   newIndex(),
		turn:    make(chan struct{}, 1),
		journal: journal{disk: d, dir: dir, noSync: options.NoSync},
		lock:    lock,
		minimum: options.CompactBytes,
	}
	if f.minimum <= 0 {
		f.minimum = 4 << 20
	}
	f.compactAt = f.minimum
	if err := f.journal.open(ctx, f.index); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	f.stat.Cursors, _ = f.index.extent()
	f.stat.LogBytes = f.journal.size
	f.turn <- struct{}{}
	return f, nil
}

// makeFolder creates dir durably. It does not create parents: a mistyped path
// should not silently begin a new store somewhere else.
func makeFolder(dir string, d disk) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(dir))
}

// Acquire implements Store.
func (f *File) Acquire(ctx context.Context, claim Claim) (Owner, error) {
	if err := claim.Check(); err != nil {
		return Owner{}, err
	}
	if err := f.enter(ctx, "acquiring", claim.Name); err != nil {
		return Owner{}, err
	}
	defer f.leave()
	next, err := f.index.claim(claim)
	if err != nil {
		return Owner{}, err
	}
	if err := f.journal.own(claim.Name, next); err != nil {
		return Owner{}, fmt.Errorf("checkpoint: acquiring %q: %w", claim.Name, err)
	}
	f.index.own(claim.Name, next)
	f.compact()
	return Owner{Name: claim.Name, Epoch: next.epoch}, nil
}

// Load implements Store.
func (f *File) Load(ctx context.Context, name string, keys []msg.Key) ([]Cursor, error) {
	return f.index.load(ctx, name, keys)
}

// Save implements Store. Two and a half million entries are the limit of one
// save; more are refused with a [*SizeError].
func (f *File) Save(ctx context.Context, owner Owner, entries []Entry) error {
	if err := f.enter(ctx, "saving", owner.Name); err != nil {
		return err
	}
	defer f.leave()
	if limit := (maxBody - moveSize(owner.Name, 0)) / entrySize; len(entries) > limit {
		return &SizeError{Name: owner.Name, Entries: len(entries), Limit: limit}
	}
	moved, err := f.index.advance(owner, entries)
	if err != nil || len(moved) == 0 {
		return err
	}
	if err := f.journal.move(owner.Name, moved); err != nil {
		return fmt.Errorf("checkpoint: saving %d cursors of %q: %w", len(moved), owner.Name, err)
	}
	f.index.move(owner.Name, moved)
	f.compact()
	return nil
}

// Scan implements Store. It holds the keys of the subscription while it runs.
func (f *File) Scan(ctx context.Context, name string) iter.Seq2[Entry, error] {
	return f.index.scan(ctx, name)
}

// Delete implements Store.
func (f *File) Delete(ctx context.Context, name string) error {
	if err := f.enter(ctx, "deleting", name); err != nil {
		return err
	}
	defer f.leave()
	next, exists, err := f.index.forget(name)
	if err != nil || !exists {
		return err
	}
	if err := f.journal.own(name, next); err != nil {
		return fmt.Errorf("checkpoint: deleting %q: %w", name, err)
	}
	f.index.own(name, next)
	f.compact()
	return nil
}

// Close implements Store. It waits for the change at work and unlocks the
// folder.
func (f *File) Close() error {
	<-f.turn
	defer f.leave()
	if f.closed {
		return nil
	}
	f.closed = true
	f.index.close()
	err := f.journal.close()
	if err = errors.Join(err, f.lock.Close()); err != nil {
		return fmt.Errorf("checkpoint: closing the file store in %s: %w", f.journal.dir, err)
	}
	return nil
}

// Stat returns the size of the store. It never blocks for the disk.
func (f *File) Stat() FileStat {
	f.statMu.Lock()
	defer f.statMu.Unlock()
	return f.stat
}

// enter waits for the turn.
func (f *File) enter(ctx context.Context, doing, name string) error {
	if err := begin(ctx, doing, name); err != nil {
		return err
	}
	select {
	case <-f.turn:
	case <-ctx.Done():
		return fmt.Errorf("checkpoint: %s %q: %w", doing, name, ctx.Err())
	}
	// Both may have been ready.
	err := begin(ctx, doing, name)
	if err == nil && f.closed {
		err = ErrClosed
	}
	if err != nil {
		f.leave()
	}
	return err
}

func (f *File) leave() { f.turn <- struct{}{} }

// compact rewrites the log if that halves it. It is called after a change was
// applied, so its failure is not that change's.
func (f *File) compact() {
	defer f.measure()
	if f.journal.size < f.compactAt {
		return
	}
	_, live := f.index.extent()
	if f.journal.size < 2*live {
		f.compactAt = max(f.minimum, 2*live)
		return
	}
	err := f.journal.rewrite(f.index)
	cursors, _ := f.index.extent()
	f.statMu.Lock()
	defer f.statMu.Unlock()
	f.stat.CompactionError = err
	if err != nil {
		// A full disk does not get emptier by trying at every save.
		f.compactAt = f.journal.size + f.minimum
		return
	}
	f.stat.Compactions++
	f.stat.Cursors = cursors
	f.compactAt = max(f.minimum, 2*f.journal.size)
}

// measure notes the length of the log.
func (f *File) measure() {
	f.statMu.Lock()
	defer f.statMu.Unlock()
	f.stat.LogBytes = f.journal.size
}
