package checkpoint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// failing makes the n-th operation of a kind fail, counted from now, and after
// that none.
func (p *platter) failing(op string, n int, err error) {
	p.fault = func(now string) error {
		if now == op {
			if n--; n == 0 {
				return err
			}
		}
		return nil
	}
}

// rig is a store on a platter with some saves in it.
type rig struct {
	*testing.T
	dir   string
	disk  *platter
	store *File
	owner Owner
}

func newRig(t *testing.T, o FileOptions) *rig {
	r := &rig{T: t, dir: t.TempDir(), disk: newPlatter()}
	r.open(o)
	var err error
	if r.owner, err = r.store.Acquire(t.Context(), Claim{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	if err := r.save(1); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) open(o FileOptions) {
	r.Helper()
	s, err := openFile(r.Context(), r.dir, o, r.disk)
	if err != nil {
		r.Fatal(err)
	}
	r.store = s
	r.Cleanup(func() { _ = s.Close() })
}

func (r *rig) save(version uint64) error {
	return r.store.Save(r.Context(), r.owner, []Entry{{Cursor: Cursor{Version: version}}})
}

func (r *rig) holds(version uint64) {
	r.Helper()
	got, err := r.store.Load(r.Context(), "orders", make([]msg.Key, 1))
	if err != nil || got[0].Version != version {
		r.Fatalf("holds %v, %v, want version %d", got, err, version)
	}
}

// reopened requires the same of what is on the disk.
func (r *rig) reopened(version uint64) {
	r.Helper()
	_ = r.store.Close()
	r.disk.fault = func(string) error { return nil }
	r.open(FileOptions{})
	r.holds(version)
}

// A full disk refuses the save and nothing else: half the record that fitted is
// taken back, and when there is room again the store goes on.
func TestFullDisk(t *testing.T) {
	r := newRig(t, FileOptions{})
	for range 3 {
		r.disk.failing("write", 1, syscall.ENOSPC)
		err := r.save(2)
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "orders") {
			t.Fatalf("saving on a full disk: %v", err)
		}
		r.holds(1)
	}
	if err := r.store.Delete(t.Context(), "orders"); err != nil {
		t.Fatalf("deleting when there is room again: %v", err)
	}
	owner, err := r.store.Acquire(t.Context(), Claim{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	r.owner = owner
	if err := r.save(2); err != nil {
		t.Fatal(err)
	}
	r.holds(2)
	r.reopened(2)
}

// The same for claims and deletions: the old owner stays.
func TestFullDiskFencesNobody(t *testing.T) {
	r := newRig(t, FileOptions{})
	r.disk.failing("write", 1, syscall.ENOSPC)
	if _, err := r.store.Acquire(t.Context(), Claim{Name: "orders"}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("acquiring on a full disk: %v", err)
	}
	r.disk.failing("write", 1, syscall.ENOSPC)
	if err := r.store.Delete(t.Context(), "orders"); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("deleting on a full disk: %v", err)
	}
	if err := r.save(2); err != nil {
		t.Fatalf("the owner was fenced by calls that failed: %v", err)
	}
	r.reopened(2)
}

// When it is not known what the disk holds, the store takes no more changes, and
// still answers what is certain.
//
//covers:store
func TestUnknownOutcomeStopsChanges(t *testing.T) {
	for name, fail := range map[string]func(*platter){
		"flush": func(p *platter) { p.failing("sync", 1, syscall.EIO) },
		"taking back": func(p *platter) {
			p.fault = func(op string) error {
				if op == "write" || op == "truncate" {
					return syscall.EIO
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, FileOptions{})
			fail(r.disk)
			if err := r.save(2); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), r.dir) {
				t.Fatalf("the save that failed: %v, want ErrFailed with its cause and the path", err)
			}
			r.disk.fault = func(string) error { return nil }
			if err := r.save(2); !errors.Is(err, ErrFailed) {
				t.Fatalf("the save after it: %v, want ErrFailed", err)
			}
			if _, err := r.store.Acquire(t.Context(), Claim{Name: "orders"}); !errors.Is(err, ErrFailed) {
				t.Fatalf("acquiring after it: %v, want ErrFailed", err)
			}
			r.holds(1)
			_ = r.store.Close()
			r.open(FileOptions{})
			// Either is right, and the save can be repeated.
			if err := r.save(2); err != nil {
				t.Fatalf("repeating the save: %v", err)
			}
			r.holds(2)
		})
	}
}

// A compaction that fails does not fail the save that began it, which is in the
// old log; past the point of no return it stops further changes.
func TestFailingCompaction(t *testing.T) {
	for _, c := range []struct {
		op    string
		n     int
		fatal bool
	}{
		{"create", 1, false},
		{"write", 3, false}, // the first are the save's and its seal
		{"sync", 2, false},
		{"close", 1, false},
		{"close", 2, true},
		{"rename", 1, true},
		{"syncDir", 1, true},
		{"open", 1, true},
	} {
		t.Run(c.op, func(t *testing.T) {
			r := newRig(t, FileOptions{CompactBytes: 1500})
			r.disk.fault = func(string) error { return nil }
			version := uint64(2)
			// Just below the size at which it compacts.
			for ; r.store.Stat().LogBytes < 1500-2*entrySize; version++ {
				if err := r.save(version); err != nil {
					t.Fatal(err)
				}
			}
			r.disk.failing(c.op, c.n, syscall.EIO)
			for ; r.store.Stat().CompactionError == nil; version++ {
				if stat := r.store.Stat(); stat.Compactions > 0 || stat.LogBytes > 3000 {
					t.Fatal("the fault never showed")
				}
				// Count operations from the compaction's save on.
				r.disk.failing(c.op, c.n, syscall.EIO)
				if err := r.save(version); err != nil {
					t.Fatalf("the save that began a compaction failed with it: %v", err)
				}
			}
			version--
			r.holds(version)
			r.disk.fault = func(string) error { return nil }
			err := r.save(version + 1)
			if c.fatal {
				if !errors.Is(err, ErrFailed) {
					t.Fatalf("saving after the point of no return: %v, want ErrFailed", err)
				}
				r.reopened(version)
				return
			}
			if err != nil {
				t.Fatalf("saving after a compaction that was given up: %v", err)
			}
			if len(r.disk.names) != 1 {
				t.Fatalf("the unfinished log takes space from a disk that may be full: %v", r.disk.names)
			}
			r.reopened(version + 1)
			// And it is tried again.
			r.store.minimum, r.store.compactAt = 1, 1
			if err := r.save(version + 2); err != nil || r.store.Stat().Compactions != 1 || r.store.Stat().CompactionError != nil {
				t.Fatalf("compacting again: %v, %+v", err, r.store.Stat())
			}
			r.reopened(version + 2)
		})
	}
}

// A folder is as durable as the name it goes by in its parent.
func TestNewFolderIsFlushed(t *testing.T) {
	disk := newPlatter()
	disk.failing("syncDir", 1, syscall.EIO)
	_, err := openFile(t.Context(), filepath.Join(t.TempDir(), "new"), FileOptions{}, disk)
	if !errors.Is(err, syscall.EIO) || errors.Is(err, ErrFailed) {
		t.Fatalf("creating a folder that cannot be flushed: %v, want the disk's error, before there is a log", err)
	}
}

// Bytes that an earlier attempt left in a file must not follow those written now.
func TestCreateEmptiesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), tmpName)
	if err := os.WriteFile(path, []byte("left over"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := osDisk{}.create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if size, err := f.size(); err != nil || size != 0 {
		t.Fatalf("%d bytes, %v", size, err)
	}
}

// Waiting for the turn ends with the context, and with the store.
func TestWaitingForTheTurn(t *testing.T) {
	r := newRig(t, FileOptions{})
	<-r.store.turn // as if a save hung in the disk
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- r.store.Save(ctx, r.owner, []Entry{{Cursor: Cursor{Version: 2}}}) }()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("waiting with a context that ends: %v", err)
	}
	r.holds(1)
	closing := make(chan error)
	go func() { closing <- r.store.Close() }()
	go func() { result <- r.save(2) }()
	r.store.leave()
	if err := <-closing; err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil && !errors.Is(err, ErrClosed) {
		t.Fatalf("waiting while the store closes: %v, want success or ErrClosed", err)
	}
}

// endedMeanwhile is a context that ends between a first look at it and the
// moment when the turn comes.
type endedMeanwhile struct {
	context.Context
	looks int
}

func (c *endedMeanwhile) Err() error {
	if c.looks++; c.looks == 1 {
		return nil
	}
	return context.Canceled
}

func (c *endedMeanwhile) Done() <-chan struct{} {
	ended := make(chan struct{})
	close(ended)
	return ended
}

// When turn and end come at once, the end counts, every time.
func TestEndBeatsTurn(t *testing.T) {
	r := newRig(t, FileOptions{})
	for range 64 {
		ctx := &endedMeanwhile{Context: t.Context()}
		if err := r.store.Save(ctx, r.owner, []Entry{{Cursor: Cursor{Version: 2}}}); !errors.Is(err, context.Canceled) {
			t.Fatalf("saving with a context that ended: %v", err)
		}
	}
	r.holds(1)
}

// Reading errors are no damage.
func TestUnreadableDisk(t *testing.T) {
	r := newRig(t, FileOptions{})
	_ = r.store.Close()
	for _, op := range []string{"open", "read", "remove"} {
		r.disk.failing(op, 1, syscall.EIO)
		_, err := openFile(t.Context(), r.dir, FileOptions{}, r.disk)
		var damaged *DamagedError
		if !errors.Is(err, syscall.EIO) || errors.As(err, &damaged) {
			t.Errorf("a %s that fails: %v, want the disk's error", op, err)
		}
	}
	r.reopened(1)
}
