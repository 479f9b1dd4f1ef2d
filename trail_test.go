package celeriant

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
)

func mark(key, version uint64) []operators.Mark {
	return []operators.Mark{{Key: msg.Key{Aggregate: msg.IDFromUint64(key)}, Cursor: checkpoint.Cursor{Version: version}}}
}

// Positions filtered out behind an item wait for it, by aggregate; released ones are
// forgotten.
func TestTrailIsBounded(t *testing.T) {
	var tr trail
	tr.skip(mark(1, 1))
	tr.release(0)
	if len(tr.ready) != 1 || len(tr.runs) != 0 {
		t.Errorf("before the first item: %+v", tr)
	}
	tr.stored(tr.entries())
	tr.sent(mark(1, 2))
	for v := range uint64(1000) {
		tr.skip(mark(v%10, 3+v))
	}
	tr.release(0)
	if len(tr.ready) != 0 || len(tr.runs) != 1 || len(tr.runs[0].skipped) != 10 {
		t.Errorf("behind an item at work: %d ready, %d runs", len(tr.ready), len(tr.runs))
	}
	tr.release(1)
	if got := tr.ready[mark(1, 0)[0].Key].Version; len(tr.ready) != 10 || len(tr.runs) != 0 || got != 994 {
		t.Errorf("behind a handled item: %d ready, %d runs, version %d", len(tr.ready), len(tr.runs), got)
	}
}
