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
	"time"

	"github.com/celeriant/celeriant-go/internal/diskfile"
	"github.com/celeriant/celeriant-go/msg"
)

// FileOptions are the choices of a file store. The zero value is a good one.
type FileOptions struct {
	// NoSync returns from Acquire, Save and Delete before the change is on the
	// disk. A save that returned survives the death of the process, but not that
	// of the machine; after a power cut the store may even be found damaged.
	// Use it for read models that can be thrown away together with the store.
	NoSync bool
	// CompactBytes is the size of log below which it is not compacted; 0 means
	// 4 MiB. Beyond it the log is compacted when less than half of it is live.
	CompactBytes int64
}

// File is a RecordStore in a folder of its own: a log of checksummed records, one for
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
// Files are readable by their owner only. A folder that is removed or replaced
// while it is open is noticed by the next change, which returns ErrFailed.
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

var (
	_ RecordStore = (*File)(nil)
	_ Notifier    = (*File)(nil)
	_ Exclusive   = (*File)(nil)
)

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
// parent of dir must. OpenFile returns a [*LockedError] if the folder is open
// elsewhere, a [*VersionError] if another release wrote it in another format,
// and a [*DamagedError] if the log was changed by anything but this package. A
// record cut short at the end of the log, which a crash in the middle of a save
// leaves behind and which was never acknowledged, is removed; one that was
// acknowledged is told from it, unless the machine lost its power right then.
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
	path := filepath.Join(dir, "LOCK")
	lock, err := diskfile.Lock(path)
	if errors.Is(err, diskfile.ErrLocked) {
		return nil, &LockedError{Path: path}
	}
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

// makeFolder creates dir durably and does not create parents: a mistyped path
// should not silently begin a new store somewhere else.
func makeFolder(dir string, d disk) error {
	err := os.Mkdir(dir, 0o700)
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
	next, rescoped, err := f.index.claim(claim)
	if err != nil {
		return Owner{}, err
	}
	if err := f.write(change{name: claim.Name, own: &next, rescoped: rescoped}); err != nil {
		return Owner{}, fmt.Errorf("checkpoint: acquiring %q: %w", claim.Name, err)
	}
	f.index.own(claim.Name, next, rescoped)
	f.compact()
	return next.Owner(claim.Name), nil
}

// Load implements Store.
func (f *File) Load(ctx context.Context, name string, keys []msg.Key) ([]Cursor, error) {
	return f.index.load(ctx, name, keys)
}

// Save implements Store. Two and a half million entries are the limit of one
// save; more are refused with a [*SizeError].
func (f *File) Save(ctx context.Context, owner Owner, entries []Entry) error {
	return f.Apply(ctx, owner.Name, Mutation{Owners: []Owner{owner}, Entries: entries})
}

// Apply implements RecordStore, with the limits of Save.
func (f *File) Apply(ctx context.Context, name string, m Mutation) error {
	if err := m.Check(name); err != nil {
		return err
	}
	if err := f.enter(ctx, "changing", name); err != nil {
		return err
	}
	defer f.leave()
	whole := change{name: name, Outcome: Outcome{Moved: m.Entries, Records: m.Records}}
	if whole.size() > maxBody {
		limit := (maxBody - applySize(name, 0)) / entrySize
		return &SizeError{Name: name, Entries: len(m.Entries), Limit: limit}
	}
	out, err := f.index.decide(name, &m)
	if err != nil || out.empty() {
		return err
	}
	if err := f.write(change{name: name, Outcome: out}); err != nil {
		return fmt.Errorf("checkpoint: saving %d cursors and %d records of %q: %w", len(out.Moved), len(out.Records), name, err)
	}
	f.index.apply(name, out)
	f.compact()
	return nil
}

// Records implements RecordStore. The time is the machine's.
func (f *File) Records(ctx context.Context, name, prefix string) ([]Record, time.Time, error) {
	return f.index.records(ctx, name, prefix)
}

// Describe implements RecordStore.
func (f *File) Describe(ctx context.Context, name string) (Ownership, error) {
	return f.index.describe(ctx, name)
}

// Names implements RecordStore.
func (f *File) Names(ctx context.Context) iter.Seq2[string, error] { return f.index.names(ctx) }

// Exclusive implements the interface of that name: the folder is locked.
func (f *File) Exclusive() bool { return true }

// Notify implements Notifier.
func (f *File) Notify(ctx context.Context, name string) (<-chan struct{}, error) {
	return f.index.notifyOf(ctx, name)
}

// Scan implements Store and holds the keys of the subscription while it runs.
func (f *File) Scan(ctx context.Context, name string) iter.Seq2[Entry, error] {
	return f.index.scan(ctx, name)
}

// Delete implements Store.
func (f *File) Delete(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := f.enter(ctx, "deleting", name); err != nil {
		return err
	}
	defer f.leave()
	next, exists, err := f.index.forget(name)
	if err != nil || !exists {
		return err
	}
	if err := f.write(change{name: name, own: &next}); err != nil {
		return fmt.Errorf("checkpoint: deleting %q: %w", name, err)
	}
	f.index.own(name, next, false)
	f.compact()
	return nil
}

// Close implements Store: Close waits for the change at work, and unlocks the
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

// Stat returns the size of the store and never blocks for the disk.
func (f *File) Stat() FileStat {
	f.statMu.Lock()
	defer f.statMu.Unlock()
	return f.stat
}

// write makes a change durable in the folder that was opened, and in no other: one
// that was removed, or put in its place by a restore, fails the store for good.
func (f *File) write(c change) error {
	if err := f.journal.present(); err != nil {
		return err
	}
	held, err := isAt(f.lock, f.lock.Name())
	if err == nil && !held {
		err = f.journal.fail(errMoved)
	}
	if err != nil {
		return err
	}
	return f.journal.write(c)
}

// enter waits for the turn.
func (f *File) enter(ctx context.Context, doing, name string) error {
	refuse := func(err error) error { return fmt.Errorf("checkpoint: %s %q: %w", doing, name, err) }
	if name != "" {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return refuse(err)
	}
	select {
	case <-f.turn:
	case <-ctx.Done():
		return refuse(ctx.Err())
	}
	// Both may have been ready.
	switch err := ctx.Err(); {
	case err != nil:
		f.leave()
		return refuse(err)
	case f.closed:
		f.leave()
		return ErrClosed
	}
	return nil
}

func (f *File) leave() { f.turn <- struct{}{} }

// compact rewrites the log if that halves it. The change before was applied
// already, so a failure is not that change's.
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
