package writer_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/writer"
)

func claim(t testing.TB, s writer.Sequences, command uint64, count int, floor uint64) uint64 {
	t.Helper()
	first, err := s.Claim(ctx, key, msg.IDFromUint64(command), count, floor)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func openClaim(t testing.TB, s writer.Sequences, command uint64) msg.Opt[uint64] {
	t.Helper()
	first, err := s.OpenClaim(ctx, key, msg.IDFromUint64(command))
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestSequenceStores(t *testing.T) {
	f := files{t, t.TempDir()}
	file := openSequences(t, f.path("s"))
	for name, s := range map[string]writer.Sequences{"memory": new(writer.MemorySequences), "file": file} {
		if a, b, c := claim(t, s, 1, 3, 0), claim(t, s, 2, 1, 0), claim(t, s, 3, 1, 10); a != 1 || b != 4 || c != 11 {
			t.Errorf("%s: claimed %d, %d, %d", name, a, b, c)
		}
		if again := claim(t, s, 1, 1, 0); again != 12 || openClaim(t, s, 1) != msg.Some[uint64](12) {
			t.Errorf("%s: claimed %d in place", name, again)
		}
		if err := s.CloseClaim(ctx, key, msg.IDFromUint64(1)); err != nil || openClaim(t, s, 1).Set || !openClaim(t, s, 2).Set {
			t.Errorf("%s: settling: %v", name, err)
		}
		if elsewhere, _ := s.OpenClaim(ctx, keyOf(99), msg.IDFromUint64(2)); elsewhere.Set {
			t.Errorf("%s: a claim on another aggregate", name)
		}
		for _, bad := range []struct {
			count int
			floor uint64
		}{{0, 0}, {-1, 0}, {1, math.MaxUint64}, {2, math.MaxUint64 - 1}} {
			if got, err := s.Claim(ctx, key, msg.IDFromUint64(9), bad.count, bad.floor); !errors.Is(err, writer.ErrSequences) {
				t.Errorf("%s: %+v gave %d, %v", name, bad, got, err)
			}
		}
	}
}

func TestOpenClaimsAreBounded(t *testing.T) {
	s := new(writer.MemorySequences)
	for i := range uint64(writer.MaxOpenClaims) {
		claim(t, s, i+1, 1, 0)
	}
	if _, err := s.Claim(ctx, key, msg.IDFromUint64(0), 1, 0); !errors.Is(err, writer.ErrSequences) {
		t.Error(err)
	}
	claim(t, s, 1, 1, 0) // one in place of one
	s.CloseClaim(ctx, key, msg.IDFromUint64(1))
	claim(t, s, 1e6, 1, 0)
}

// Claims are there for the next process, closed ones after the next claim.
func TestFileSequencesSurvive(t *testing.T) {
	f := files{t, t.TempDir()}
	s := openSequences(t, f.path("s"))
	reopen := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openSequences(t, f.path("s"))
	}
	claim(t, s, 1, 2, 0)
	claim(t, s, 2, 1, 0)
	reopen()
	if openClaim(t, s, 1) != msg.Some[uint64](1) || openClaim(t, s, 2) != msg.Some[uint64](3) {
		t.Error("claims were lost")
	}
	s.CloseClaim(ctx, key, msg.IDFromUint64(1))
	reopen()
	if !openClaim(t, s, 1).Set {
		t.Error("closing a claim alone wrote the file")
	}
	s.CloseClaim(ctx, key, msg.IDFromUint64(1))
	if got := claim(t, s, 3, 1, 0); got != 4 {
		t.Errorf("claimed %d", got)
	}
	reopen()
	if openClaim(t, s, 1).Set || claim(t, s, 4, 1, 0) != 5 {
		t.Error("wrong after the second life")
	}
	left, err := os.ReadDir(f.folder)
	if err != nil || len(left) != 2 || left[0].Name() != "s" || left[1].Name() != "s.lock" {
		t.Errorf("files left: %v, %v", left, err)
	}
	for _, entry := range left {
		if info, err := entry.Info(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
	}
}

// Two stores on one file would give out the same sequences.
func TestFileSequencesAreExclusive(t *testing.T) {
	f := files{t, t.TempDir()}
	s := openSequences(t, f.path("s"))
	if _, err := writer.OpenFileSequences(f.path("s"), me); !errors.Is(err, writer.ErrSequences) || !strings.Contains(err.Error(), "open elsewhere") {
		t.Errorf("opened twice: %v", err)
	}
	claim(t, s, 1, 1, 0)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Claim(ctx, key, msg.IDFromUint64(2), 1, 0); !errors.Is(err, writer.ErrSequences) {
		t.Errorf("claimed after Close: %v", err)
	}
	f.put("s", []byte("damaged"))
	for range 2 { // a refused file is not left locked
		if _, err := writer.OpenFileSequences(f.path("s"), me); !errors.Is(err, writer.ErrSequences) || strings.Contains(err.Error(), "elsewhere") {
			t.Error(err)
		}
	}
}

// Files that a process left behind which was killed while it wrote are removed.
func TestFileSequencesCleanUp(t *testing.T) {
	f := files{t, t.TempDir()}
	f.put("s.new", []byte("half a fi"))
	if err := os.WriteFile(f.path("precious"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openSequences(t, f.path("s"))
	if _, err := os.Stat(f.path("s.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	// A link in its place is replaced, never followed.
	if err := os.Symlink(f.path("precious"), f.path("s.new")); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	claim(t, s, 1, 1, 0)
	if got, err := os.ReadFile(f.path("precious")); err != nil || string(got) != "precious" {
		t.Errorf("another file was overwritten: %q, %v", got, err)
	}
}

// Cut or changed anywhere, or of another client, the file is refused.
func TestDamagedSequenceFile(t *testing.T) {
	f := files{t, t.TempDir()}
	s := openSequences(t, f.path("s"))
	claim(t, s, 1, 1, 0)
	whole, err := os.ReadFile(f.path("s"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, content []byte, client msg.ID) {
		if _, err := writer.OpenFileSequences(f.put("bad", content), client); !errors.Is(err, writer.ErrSequences) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := 0; i < len(whole); i += 3 {
		refused("cut", whole[:i], me)
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		refused("changed", changed, me)
	}
	refused("another client's", whole, other)
	refused("huge", make([]byte, 4<<20+1), me)
}

// A reservation that cannot be stored is not used, and its numbers are not given out again.
func TestSequencesThatCannotBeStored(t *testing.T) {
	f := files{t, t.TempDir()}
	s := openSequences(t, f.path("s"))
	claim(t, s, 1, 1, 0)
	gone := f.folder + ".gone"
	if err := os.Rename(f.folder, gone); err != nil {
		t.Fatal(err)
	}
	m := newModel()
	if _, err := place(newWriter(t, m, s)); !errors.Is(err, writer.ErrSequences) || msg.Ambiguous(err) || len(m.writes) != 0 {
		t.Error(err)
	}
	if _, err := s.Claim(ctx, key, msg.IDFromUint64(1), 1, 0); err == nil || openClaim(t, s, 1) != msg.Some[uint64](1) {
		t.Errorf("a failed claim replaced the one before: %v", err)
	}
	if _, err := s.Claim(ctx, key, msg.IDFromUint64(5), 1, 0); err == nil || openClaim(t, s, 5).Set {
		t.Errorf("a claim that was not stored is open: %v", err)
	}
	if err := os.Rename(gone, f.folder); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, s, 2, 1, 0); got <= 3 {
		t.Errorf("claimed %d", got)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Claim(over, key, msg.IDFromUint64(3), 1, 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A file that cannot take its place is not left behind.
func TestFailedClaimLeavesNoFile(t *testing.T) {
	f := files{t, t.TempDir()}
	s := openSequences(t, f.path("s"))
	if err := os.Mkdir(f.path("s"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(ctx, key, order.ID, 1, 0); !errors.Is(err, writer.ErrSequences) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(f.folder); len(left) != 2 { // and the lock
		t.Errorf("files left: %v", left)
	}
}

// A command repeated by the next process goes on under its sequence, and is not
// applied again although its batch was trimmed away meanwhile.
func TestClaimOutlivesTheProcess(t *testing.T) {
	f := files{t, t.TempDir()}
	m := newModel()
	run := func() error {
		s := openSequences(t, f.path("s"))
		defer s.Close()
		_, err := place(newWriter(t, m, s))
		return err
	}
	over := errors.New("the process ends")
	m.afterWrite = func(*msg.WriteRequest) error { m.readError = over; return lost() }
	if err := run(); !errors.Is(err, over) && !msg.Ambiguous(err) {
		t.Fatal(err)
	}
	m.afterWrite, m.readError = nil, nil
	m.append(me, 8) // passes the sequence, but what was before is not to be seen
	m.floor = 2
	err := run()
	if !msg.Ambiguous(err) || m.applied(order.ID) != 1 {
		t.Errorf("applied %d times: %v", m.applied(order.ID), err)
	}
	wantSequences(t, m, 1, 1, 1, 1)
}
