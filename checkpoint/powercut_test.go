package checkpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
)

// powerRun lives through power cuts on one disk and compares what is found
// after each with what had been acknowledged.
type powerRun struct {
	t      *testing.T
	random *rand.Rand
	dir    string
	disk   *platter
	noSync bool

	epoch uint64          // the newest acknowledged
	acked map[int]uint64  // versions acknowledged
	tried map[int]uint64  // versions of the save that was under way
	tally *map[string]int // operations that the power cut hit
}

const powerKeys = 12

func (r *powerRun) options() FileOptions { return FileOptions{NoSync: r.noSync, CompactBytes: 2000} }

// life opens the store, checks it, and works until the power goes.
func (r *powerRun) life() error {
	budget := r.random.IntN(120)
	r.disk.fault = func(op string) error {
		if budget--; budget < 0 {
			(*r.tally)[op]++
			return errPower
		}
		return nil
	}
	defer func() { r.disk = r.disk.powerCut(r.random) }()
	s, err := openFile(r.t.Context(), r.dir, r.options(), r.disk)
	if err != nil {
		if errors.Is(err, errPower) {
			return nil
		}
		return fmt.Errorf("opening: %w", err)
	}
	defer s.Close()
	if err := r.check(s); err != nil {
		return err
	}
	return r.work(s)
}

func (r *powerRun) work(s *File) error {
	owner, err := s.Acquire(r.t.Context(), Claim{Name: "orders"})
	if err != nil {
		return nil
	}
	if owner.Epoch <= r.epoch {
		return fmt.Errorf("epoch %d follows epoch %d", owner.Epoch, r.epoch)
	}
	r.epoch = owner.Epoch
	for {
		r.tried = map[int]uint64{}
		var entries []Entry
		for range 1 + r.random.IntN(20) {
			k := r.random.IntN(powerKeys)
			if r.tried[k] == 0 {
				r.tried[k] = r.acked[k] + 1
				entries = append(entries, Entry{Key: powerKey(k), Cursor: Cursor{Version: r.tried[k]}})
			}
		}
		if err := s.Save(r.t.Context(), owner, entries); err != nil {
			return nil // What was tried is checked in the next life.
		}
		for k, v := range r.tried {
			r.acked[k] = v
		}
		r.tried = nil
	}
}

// check requires everything acknowledged, and of the save that was under way
// all or nothing.
func (r *powerRun) check(s *File) error {
	keys := make([]msg.Key, powerKeys)
	for k := range keys {
		keys[k] = powerKey(k)
	}
	cursors, err := s.Load(r.t.Context(), "orders", keys)
	if err != nil {
		return err
	}
	applied := 0
	for k, c := range cursors {
		switch c.Version {
		case r.acked[k]:
		case r.tried[k]:
			applied++
		default:
			return fmt.Errorf("key %d: version %d was acknowledged, %d is there", k, r.acked[k], c.Version)
		}
	}
	if applied > 0 && applied < len(r.tried) {
		return fmt.Errorf("half a save: %d of %d", applied, len(r.tried))
	}
	for k, c := range cursors {
		r.acked[k] = c.Version
	}
	r.tried = nil
	return nil
}

func powerKey(k int) msg.Key { return msg.Key{Org: msg.IDFromUint64(uint64(k))} }

// powerRuns returns what went wrong in runs of several lives, by seed.
func powerRuns(t *testing.T, seeds int, noSync, lazyFolder bool) (wrong map[int]error, tally map[string]int) {
	wrong, tally = map[int]error{}, map[string]int{}
	dir := t.TempDir()
	for seed := range seeds {
		r := &powerRun{
			t: t, random: rand.New(rand.NewPCG(uint64(seed), 0)), dir: dir, disk: newPlatter(),
			noSync: noSync, acked: map[int]uint64{}, tally: &tally,
		}
		r.disk.lazyFolder = lazyFolder
		for range 8 {
			if err := r.life(); err != nil {
				wrong[seed] = err
				break
			}
		}
	}
	return wrong, tally
}

// The power goes at any operation of the disk, also while the last cut is being
// repaired. Nothing acknowledged is lost, and nothing is found damaged.
//
//covers:killed
func TestPowerCuts(t *testing.T) {
	seeds := 400
	if testing.Short() {
		seeds = 100
	}
	wrong, tally := powerRuns(t, seeds, false, false)
	for seed, err := range wrong {
		t.Errorf("seed %d: %v", seed, err)
	}
	for _, op := range []string{"write", "sync", "create", "rename", "syncDir", "truncate"} {
		if tally[op] == 0 {
			t.Errorf("no power cut hit a %s: %v", op, tally)
		}
	}
	t.Logf("cuts by operation: %v", tally)
}

// The same without flushing must go wrong, or the test above shows nothing.
func TestPowerCutsWithoutFlushing(t *testing.T) {
	if wrong, _ := powerRuns(t, 50, true, false); len(wrong) == 0 {
		t.Error("nothing is lost without flushing files")
	}
	if wrong, _ := powerRuns(t, 50, false, true); len(wrong) == 0 {
		t.Error("nothing is lost without flushing the folder")
	}
}
