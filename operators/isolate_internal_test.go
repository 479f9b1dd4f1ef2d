package operators

import (
	"errors"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
	"pgregory.net/rapid"
)

var errBad = errors.New("bad")

// slice makes n changes of the keys, in turn.
func slice(n, keys int) []stream.Change {
	out := make([]stream.Change, n)
	for i := range out {
		out[i] = stream.Change{
			Kind: stream.Batch, Key: msg.Key{Aggregate: msg.IDFromUint64(uint64(i % keys))},
			Batch: msg.Batch{Version: uint64(i/keys + 1)},
		}
	}
	return out
}

// One culprit among 512 takes at most 18 transactions, one that is named 4.
func TestIsolateTakesFewTransactions(t *testing.T) {
	changes := slice(512, 512)
	for bad := range changes {
		for _, named := range []bool{false, true} {
			runs := 0
			done, err := isolate(changes, func(places []int) error {
				runs++
				if !slices.Contains(places, bad) {
					return nil
				}
				if named {
					return handlerError(&changes[places[0]], At(changes[bad], errBad))
				}
				return handlerError(&changes[places[0]], errBad)
			})
			limit := 18
			if named {
				limit = 4
			}
			if err != nil || runs > limit || len(done.culprits) != 1 || done.culprits[0].at != bad || len(done.applied) != 511 {
				t.Fatalf("culprit %d: %d transactions, %+v, %d applied, %v", bad, runs, done.culprits, len(done.applied), err)
			}
		}
	}
}

// For every set of changes that fail: the others are applied once and in order, no
// change behind a culprit of its aggregate is applied, and three culprits are one
// common cause.
func TestIsolate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, keys := rapid.IntRange(1, 40).Draw(t, "changes"), rapid.IntRange(1, 10).Draw(t, "keys")
		changes := slice(n, keys)
		bad := map[int]bool{}
		for _, at := range rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 5).Draw(t, "bad") {
			bad[at] = true
		}
		fatal := rapid.IntRange(0, 60).Draw(t, "fatal")
		applied := map[int]int{}
		runs := 0
		errFatal := errors.New("fatal")
		done, err := isolate(changes, func(places []int) error {
			if runs++; runs == fatal {
				return errFatal
			}
			if !slices.IsSorted(places) {
				t.Fatalf("places %v", places)
			}
			for _, at := range places {
				if bad[at] {
					return handlerError(&changes[at], errBad)
				}
			}
			for _, at := range places {
				applied[at]++
				for earlier := at - keys; earlier >= 0; earlier -= keys {
					if applied[earlier] != 1 {
						t.Fatalf("%d applied before %d", at, earlier)
					}
				}
			}
			return nil
		})
		if errors.Is(err, errFatal) != (fatal > 0 && runs >= fatal) {
			t.Fatalf("error %v after %d", err, runs)
		}
		if len(done.applied) != len(applied) {
			t.Fatalf("told %v, applied %v", done.applied, applied)
		}
		for _, at := range done.applied {
			if applied[at] != 1 {
				t.Fatalf("%d applied %d times", at, applied[at])
			}
		}
		for _, c := range done.culprits {
			if !bad[c.at] {
				t.Fatalf("%d is no culprit", c.at)
			}
		}
		if done.common != (len(done.culprits) == commonCause) {
			t.Fatalf("common %v with %d culprits", done.common, len(done.culprits))
		}
		if err != nil || done.common {
			return
		}
		// Everything that is not behind a culprit of its aggregate was applied.
		for at := range changes {
			reach := true
			for earlier := at; earlier >= 0; earlier -= keys {
				reach = reach && !bad[earlier]
			}
			if reach != (applied[at] == 1) {
				t.Fatalf("%d: applied %d, bad %v", at, applied[at], bad)
			}
		}
	})
}
