package stream

import (
	"slices"
	"testing"
)

// At most two are at work, and the others follow in the order they came.
func TestTurns(t *testing.T) {
	var turns turns
	var started []int
	for i := range 5 {
		turns.enter(func() { started = append(started, i) })
	}
	if want := []int{0, 1}; !slices.Equal(started, want) {
		t.Fatalf("%v start, want %v", started, want)
	}
	for n := 3; n <= 5; n++ {
		if turns.leave(); len(started) != n || started[n-1] != n-1 {
			t.Fatalf("%v have started once one has left, want %d in order", started, n)
		}
	}
	turns.leave()
	turns.leave()
	turns.enter(func() { started = append(started, 5) })
	if len(started) != 6 || turns.atWork != 1 {
		t.Errorf("%v have started and %d are at work, want another one at once", started, turns.atWork)
	}
}
