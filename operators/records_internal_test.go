package operators

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/stream"
)

// The failure of a change that is parked is recognised by the next owner, whatever kind
// the change is of: it is handed out alone then, and passed over where that was asked.
func TestParkedKindsAreTakenUp(t *testing.T) {
	for _, kind := range []stream.Kind{stream.Batch, stream.Deleted, stream.Reset, stream.Truncated, stream.Unreadable} {
		p := checkpoint.Parked{Attempts: 1, Kind: kind.String()}
		if f := failureOf(&p); f.Kind != kind {
			t.Errorf("%v was taken up as %v", kind, f.Kind)
		}
	}
	if f := failureOf(&checkpoint.Parked{Attempts: 1}); f.Kind != stream.Batch {
		t.Errorf("one of an earlier release was taken up as %v", f.Kind)
	}
}
