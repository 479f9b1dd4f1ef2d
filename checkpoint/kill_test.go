package checkpoint_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// saverFolder is the environment variable that turns the test program into a
// process that saves until it is killed.
const saverFolder = "CHECKPOINT_TEST_SAVER"

const saverKeys = 16

// saveUntilKilled moves key after key on and says each version once its save has
// returned. Small logs and large saves make it compact all the time.
func saveUntilKilled(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := context.Background()
	s, err := checkpoint.OpenFile(ctx, dir, checkpoint.FileOptions{CompactBytes: 8 << 10})
	if err != nil {
		fail(err)
	}
	owner, err := s.Acquire(ctx, checkpoint.Claim{Name: "orders", Scope: "all"})
	if err != nil {
		fail(err)
	}
	fmt.Printf("epoch %d\n", owner.Epoch)
	keys := versionsIn(ctx, s, fail)
	for version := maxOf(keys) + 1; ; version++ {
		k := int(version % saverKeys)
		entries := versionOf(k, version)
		// A companion in the same save must always be at the same version.
		entries = append(entries, versionOf(saverKeys+k, version)...)
		if err := s.Save(ctx, owner, entries); err != nil {
			fail(err)
		}
		fmt.Printf("saved %d\n", version)
	}
}

func versionsIn(ctx context.Context, s checkpoint.Store, fail func(error)) map[int]uint64 {
	versions := map[int]uint64{}
	for e, err := range s.Scan(ctx, "orders") {
		if err != nil {
			fail(err)
		}
		_, n := e.Key.Aggregate.Uint64s()
		versions[int(n)] = e.Cursor.Version
	}
	return versions
}

func maxOf(versions map[int]uint64) (highest uint64) {
	for _, v := range versions {
		highest = max(highest, v)
	}
	return highest
}

// A process is killed at random instants while it saves. Every save that it
// had reported is there afterwards, every save is whole, and epochs rise.
//
//covers:killed
func TestKilledWhileSaving(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	dir := filepath.Join(t.TempDir(), "store")
	random := rand.New(rand.NewPCG(1, 2))
	var saves, epoch uint64
	for round := range rounds {
		said, newEpoch := runSaver(t, dir, 1+random.IntN(300), time.Duration(random.IntN(3000))*time.Microsecond)
		if newEpoch <= epoch {
			t.Fatalf("round %d: epoch %d follows epoch %d", round, newEpoch, epoch)
		}
		epoch = newEpoch
		s := openFile(t, dir, checkpoint.FileOptions{})
		versions := versionsIn(t.Context(), s, func(err error) { t.Fatal(err) })
		mustClose(t, s)
		if got := maxOf(versions); got < said || got > said+1 {
			t.Fatalf("round %d: %d was saved, %d is there", round, said, got)
		}
		for k := range saverKeys {
			if versions[k] != versions[saverKeys+k] {
				t.Fatalf("round %d: half a save: key %d has version %d, its companion %d", round, k, versions[k], versions[saverKeys+k])
			}
		}
		for back := uint64(0); back < saverKeys && back < said; back++ {
			version := said - back
			if got := versions[int(version%saverKeys)]; got < version {
				t.Fatalf("round %d: version %d was saved, its key has %d", round, version, got)
			}
		}
		saves = max(saves, said)
	}
	if saves < uint64(10*rounds) {
		t.Fatalf("only %d saves in %d rounds: nothing was put to the test", saves, rounds)
	}
	t.Logf("%d saves in %d lives", saves, rounds)
}

// runSaver runs a saver, kills it some time after it has said count versions,
// and returns the last version it said and its epoch.
func runSaver(t *testing.T, dir string, count int, delay time.Duration) (said, epoch uint64) {
	t.Helper()
	saver := exec.Command(os.Args[0])
	saver.Env = append(os.Environ(), saverFolder+"="+dir)
	var complaint strings.Builder
	saver.Stderr = &complaint
	out, err := saver.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := saver.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // The end, or half a line.
		}
		word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		value, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatalf("the saver says %q", line)
		}
		if word == "epoch" {
			epoch = value
		} else {
			said = value
		}
		if n == count {
			// The instant must not depend on the saver's rhythm.
			time.AfterFunc(delay, func() { _ = saver.Process.Kill() })
		}
	}
	if err := saver.Wait(); err == nil || complaint.Len() > 0 {
		t.Fatalf("the saver was not killed, it ended: %v\n%s", err, complaint.String())
	}
	return said, epoch
}
