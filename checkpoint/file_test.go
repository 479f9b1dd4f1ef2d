package checkpoint_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/msg"
)

const logName = "checkpoints.log"

func nthKey(n int) msg.Key { return msg.Key{Aggregate: msg.IDFromUint64(uint64(n))} }

func versionOf(n int, version uint64) []checkpoint.Entry {
	return []checkpoint.Entry{{Key: nthKey(n), Cursor: checkpoint.Cursor{Version: version}}}
}

func openFile(t testing.TB, dir string, o checkpoint.FileOptions) *checkpoint.File {
	t.Helper()
	s, err := checkpoint.OpenFile(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustAcquire(t testing.TB, s checkpoint.Store) checkpoint.Owner {
	t.Helper()
	owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "all"})
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

func mustSave(t testing.TB, s checkpoint.Store, o checkpoint.Owner, entries []checkpoint.Entry) {
	t.Helper()
	if err := s.Save(t.Context(), o, entries); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, s checkpoint.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// stored returns the versions of the first n keys.
func stored(t testing.TB, s checkpoint.Store, n int) []uint64 {
	t.Helper()
	keys := make([]msg.Key, n)
	for i := range keys {
		keys[i] = nthKey(i)
	}
	cursors, err := s.Load(t.Context(), "orders", keys)
	if err != nil {
		t.Fatal(err)
	}
	versions := make([]uint64, n)
	for i, c := range cursors {
		versions[i] = c.Version
	}
	return versions
}

// sealSize is the length of the seal behind the last record.
const sealSize = 16

// written makes a log of some records and returns it, with what is stored after
// each of them: ends[i] is where record i ends, states[i] the versions then.
// Behind the last one there is its seal.
func written(t testing.TB) (log []byte, ends []int, states [][]uint64) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s := openFile(t, dir, checkpoint.FileOptions{})
	const keys = 3
	note := func() {
		info, err := os.Stat(filepath.Join(dir, logName))
		if err != nil {
			t.Fatal(err)
		}
		end := int(info.Size())
		if len(ends) > 0 {
			end -= sealSize
		}
		ends, states = append(ends, end), append(states, stored(t, s, keys))
	}
	note()
	owner := mustAcquire(t, s)
	note()
	for version := uint64(1); version <= 3; version++ {
		mustSave(t, s, owner, versionOf(int(version%keys), version))
		note()
	}
	mustSave(t, s, owner, slices.Concat(versionOf(0, 10), versionOf(1, 10), versionOf(2, 10)))
	note()
	mustClose(t, s)
	log, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return log, ends, states
}

// folder makes a folder with this log.
func folder(t testing.TB, log []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, logName), log, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A log cut anywhere, as by a crash, holds what its whole records say, and
// takes new ones.
func TestTornTailIsCut(t *testing.T) {
	log, ends, states := written(t)
	dir := folder(t, log)
	for size := ends[0]; size <= len(log); size++ {
		if testing.Short() && size%5 != 0 && size != len(log) {
			continue // a sample
		}
		if err := os.WriteFile(filepath.Join(dir, logName), log[:size], 0o644); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for whole+1 < len(ends) && ends[whole+1] <= size {
			whole++
		}
		for range 2 {
			s := openFile(t, dir, checkpoint.FileOptions{NoSync: true})
			if got := stored(t, s, 3); !slices.Equal(got, states[whole]) {
				t.Fatalf("a log of %d bytes holds %v, want %v", size, got, states[whole])
			}
			mustClose(t, s)
			want := ends[whole]
			if size == len(log) { // with its seal
				want = size
			}
			if info, err := os.Stat(filepath.Join(dir, logName)); err != nil || info.Size() != int64(want) {
				t.Fatalf("a log of %d bytes is cut to %v, %v, want %d", size, info.Size(), err, want)
			}
		}
		s := openFile(t, dir, checkpoint.FileOptions{NoSync: true})
		mustSave(t, s, mustAcquire(t, s), versionOf(0, 99))
		mustClose(t, s)
		s = openFile(t, dir, checkpoint.FileOptions{NoSync: true})
		if got := stored(t, s, 3)[0]; got != 99 {
			t.Fatalf("after a log of %d bytes was cut, a save is lost: version %d", size, got)
		}
		mustClose(t, s)
	}
}

// Garbage in place of the last record, as left by blocks that were not written,
// is a torn tail too.
func TestTornBlocksAreCut(t *testing.T) {
	log, ends, states := written(t)
	last := len(ends) - 1
	for name, garbage := range map[string][]byte{
		"zeros":             make([]byte, 5000),
		"zeros for a body":  append(slices.Clone(log[ends[last-1]:ends[last-1]+20]), make([]byte, 5000)...),
		"marks":             bytes.Repeat([]byte{0xC5, 0x1E, 0x7A, 0xB6}, 1000),
		"an earlier record": log[ends[1]:ends[2]],
	} {
		torn := append(slices.Clone(log[:ends[last-1]]), garbage...)
		s, err := checkpoint.OpenFile(t.Context(), folder(t, torn), checkpoint.FileOptions{})
		if name == "an earlier record" {
			// A whole record out of place was not left by a crash.
			var damaged *checkpoint.DamagedError
			if !errors.As(err, &damaged) {
				t.Errorf("%s: %v, want a *DamagedError", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := stored(t, s, 3); !slices.Equal(got, states[last-1]) {
			t.Errorf("%s: holds %v, want %v", name, got, states[last-1])
		}
		mustClose(t, s)
	}
}

// A changed byte is found, wherever it is, and named, also in the last record: its
// seal tells that it was whole. Without it the seal is only a tail to cut.
func TestDamageIsNamed(t *testing.T) {
	log, ends, states := written(t)
	last := len(ends) - 1
	dir := folder(t, log)
	path := filepath.Join(dir, logName)
	for at := range log {
		if testing.Short() && at%5 != 0 {
			continue // a sample
		}
		record := 0
		for record < len(ends) && ends[record] <= at {
			record++
		}
		for _, bit := range []byte{1, 0x80} {
			bad := slices.Clone(log)
			bad[at] ^= bit
			if err := os.WriteFile(path, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			s, err := checkpoint.OpenFile(t.Context(), dir, checkpoint.FileOptions{NoSync: true})
			var damaged *checkpoint.DamagedError
			switch {
			case err == nil && record > last:
				if got := stored(t, s, 3); !slices.Equal(got, states[last]) {
					t.Fatalf("byte %d changed in the seal: holds %v, want %v", at, got, states[last])
				}
				mustClose(t, s)
			case err == nil:
				t.Fatalf("byte %d changed in record %d of %d goes unnoticed", at, record, last)
			case !errors.As(err, &damaged) || damaged.Where != path:
				t.Fatalf("byte %d changed: %v, want a *DamagedError that names %s", at, err, path)
			case record > 0 && damaged.Offset != int64(ends[record-1]):
				t.Fatalf("byte %d changed: damage named at %d, want %d", at, damaged.Offset, ends[record-1])
			}
			if record <= last {
				if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
					t.Fatalf("byte %d changed: the damaged log was touched", at)
				}
			}
		}
	}
}

// Records that are whole but missing, repeated or out of order are damage.
func TestRecordsOutOfOrder(t *testing.T) {
	log, ends, _ := written(t)
	record := func(i int) []byte { return log[ends[i-1]:ends[i]] }
	seal := log[len(log)-sealSize:]
	for name, records := range map[string][][]byte{
		"missing":       {record(1), record(3), record(4)},
		"first missing": {record(2), record(3)},
		"repeated":      {record(1), record(2), record(2), record(3)},
		"exchanged":     {record(1), record(3), record(2)},
		"last missing":  {record(1), record(2), record(3), seal},
	} {
		bad := append(slices.Clone(log[:ends[0]]), slices.Concat(records...)...)
		var damaged *checkpoint.DamagedError
		if _, err := checkpoint.OpenFile(t.Context(), folder(t, bad), checkpoint.FileOptions{}); !errors.As(err, &damaged) {
			t.Errorf("%s: %v, want a *DamagedError", name, err)
		}
	}
}

func TestOtherVersionIsRefused(t *testing.T) {
	log, _, _ := written(t)
	binary.LittleEndian.PutUint32(log[8:], 3)
	binary.LittleEndian.PutUint32(log[12:], crc32.Checksum(log[:12], crc32.MakeTable(crc32.Castagnoli)))
	dir := folder(t, log)
	_, err := checkpoint.OpenFile(t.Context(), dir, checkpoint.FileOptions{})
	var version *checkpoint.VersionError
	if !errors.As(err, &version) || version.Found != 3 || version.Supported != 2 || version.Where != filepath.Join(dir, logName) {
		t.Fatalf("opening a log of version 3: %v", err)
	}
	if now, err := os.ReadFile(filepath.Join(dir, logName)); err != nil || !bytes.Equal(now, log) {
		t.Fatal("a log of another version was changed")
	}
}

// Logs of earlier releases are read and gone on with.
func TestEarlierFormatGoesOn(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "format1.log"))
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, golden)
	old := checkpoint.Owner{Name: "orders", Epoch: 1}
	for run := uint64(0); run < 3; run++ {
		s := openFile(t, dir, checkpoint.FileOptions{})
		if got, want := stored(t, s, 3), []uint64{10 + run, 10, 10}; !slices.Equal(got, want) {
			t.Fatalf("run %d holds %v, want %v", run, got, want)
		}
		if run == 0 {
			// A claim without token is its owner's still.
			if err := s.Save(t.Context(), old, nil); err != nil {
				t.Fatal(err)
			}
		}
		owner, err := s.Acquire(t.Context(), checkpoint.Claim{Name: "orders", Scope: "all"})
		if err != nil || owner.Epoch != 2+run || owner.Token == (checkpoint.Token{}) {
			t.Fatalf("run %d acquired %+v, %v", run, owner, err)
		}
		if err := s.Save(t.Context(), old, nil); !errors.Is(err, checkpoint.ErrFenced) {
			t.Fatalf("run %d: the owner of before: %v, want ErrFenced", run, err)
		}
		mustSave(t, s, owner, versionOf(0, 11+run))
		mustClose(t, s)
	}
}

// A folder that is gone, or another one in its place, takes no more changes: they
// would be lost with it.
func TestFolderIsReplaced(t *testing.T) {
	for name, replace := range map[string]func(dir string) error{
		"removed": os.RemoveAll,
		"renamed": func(dir string) error { return os.Rename(dir, dir+".old") },
		"restored": func(dir string) error {
			log, err := os.ReadFile(filepath.Join(dir, logName))
			if err == nil {
				err = errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700))
			}
			return errors.Join(err, os.WriteFile(filepath.Join(dir, "LOCK"), nil, 0o600), os.WriteFile(filepath.Join(dir, logName), log, 0o600))
		},
		"unlocked": func(dir string) error { return os.Remove(filepath.Join(dir, "LOCK")) },
		"emptied":  func(dir string) error { return os.Remove(filepath.Join(dir, logName)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s := openFile(t, dir, checkpoint.FileOptions{})
			owner := mustAcquire(t, s)
			mustSave(t, s, owner, versionOf(0, 1))
			if err := replace(dir); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err := s.Save(t.Context(), owner, versionOf(0, 2))
				if !errors.Is(err, checkpoint.ErrFailed) || !strings.Contains(err.Error(), "replaced") {
					t.Fatalf("saving: %v, want ErrFailed that says why", err)
				}
			}
			if got := stored(t, s, 1); got[0] != 1 {
				t.Fatalf("what was durable reads as %v", got)
			}
			mustClose(t, s)
		})
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openFile(t, dir, checkpoint.FileOptions{CompactBytes: 1})
	mustSave(t, s, mustAcquire(t, s), versionOf(0, 1))
	for _, path := range []string{dir, filepath.Join(dir, logName), filepath.Join(dir, "LOCK")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, %v, want it for nobody else", path, info.Mode(), err)
		}
	}
}

func TestFolderIsLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openFile(t, dir, checkpoint.FileOptions{})
	_, err := checkpoint.OpenFile(t.Context(), dir, checkpoint.FileOptions{})
	var locked *checkpoint.LockedError
	if !errors.As(err, &locked) || locked.Path != filepath.Join(dir, "LOCK") {
		t.Fatalf("opening twice: %v, want a *LockedError that names the lock", err)
	}
	mustSave(t, s, mustAcquire(t, s), versionOf(0, 1))
	mustClose(t, s)
	openFile(t, dir, checkpoint.FileOptions{})
}

func TestFolderErrorsNameThePath(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "missing", "store"), filepath.Join(file, "store"), file} {
		if _, err := checkpoint.OpenFile(t.Context(), path, checkpoint.FileOptions{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("opening %s: %v, want an error that names it", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := checkpoint.OpenFile(ctx, dir, checkpoint.FileOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("opening with a cancelled context: %v", err)
	}
}

// A compaction that a crash cut short leaves a file nobody needs.
func TestLeftOverCompactionIsRemoved(t *testing.T) {
	log, _, states := written(t)
	dir := folder(t, log)
	tmp := filepath.Join(dir, "checkpoints.tmp")
	if err := os.WriteFile(tmp, []byte("half a log"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := openFile(t, dir, checkpoint.FileOptions{})
	if got := stored(t, s, 3); !slices.Equal(got, states[len(states)-1]) {
		t.Errorf("holds %v", got)
	}
	if _, err := os.Stat(tmp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// The log stays within a few times its live content, however long it runs.
func TestLogIsCompacted(t *testing.T) {
	const limit = 20_000
	dir := filepath.Join(t.TempDir(), "store")
	s := openFile(t, dir, checkpoint.FileOptions{NoSync: true, CompactBytes: limit})
	owner := mustAcquire(t, s)
	const keys = 50
	for version := uint64(1); version <= 200; version++ {
		for k := range keys {
			mustSave(t, s, owner, versionOf(k, version))
		}
		if got := s.Stat().LogBytes; got > 2*limit {
			t.Fatalf("the log has %d bytes, compacted from %d on", got, limit)
		}
	}
	stat := s.Stat()
	if info, err := os.Stat(filepath.Join(dir, logName)); err != nil || info.Size() != stat.LogBytes {
		t.Errorf("the log has %d bytes (%v), Stat says %d", info.Size(), err, stat.LogBytes)
	}
	if stat.Compactions < 10 || stat.Cursors != keys || stat.CompactionError != nil {
		t.Errorf("after 10,000 saves: %+v", stat)
	}
	mustClose(t, s)
	s = openFile(t, dir, checkpoint.FileOptions{})
	if got := stored(t, s, keys); slices.Min(got) != 200 {
		t.Errorf("holds %v", got)
	}
	mustSave(t, s, owner, versionOf(0, 201))
}

func TestOversizeSaveIsRefused(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "store"), checkpoint.FileOptions{})
	owner := mustAcquire(t, s)
	entries := make([]checkpoint.Entry, 2_600_000)
	var size *checkpoint.SizeError
	if err := s.Save(t.Context(), owner, entries); !errors.As(err, &size) || size.Entries != len(entries) || size.Limit >= len(entries) {
		t.Fatalf("saving %d entries: %v, want a *SizeError", len(entries), err)
	}
	mustSave(t, s, owner, versionOf(0, 1))
}

func BenchmarkMemory(b *testing.B) {
	checkpointtest.Benchmark(b, func(testing.TB) checkpointtest.Fixture {
		return checkpointtest.Fixture{Open: func(context.Context) (checkpoint.Store, error) { return checkpoint.NewMemory(), nil }}
	})
}

func BenchmarkFile(b *testing.B) {
	checkpointtest.Benchmark(b, func(t testing.TB) checkpointtest.Fixture {
		dir := filepath.Join(t.TempDir(), "store")
		return checkpointtest.Fixture{Open: func(ctx context.Context) (checkpoint.Store, error) {
			return checkpoint.OpenFile(ctx, dir, checkpoint.FileOptions{})
		}}
	})
}
