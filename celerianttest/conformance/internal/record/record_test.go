package record

import (
	"bytes"
	"testing"
)

// A record that went on after it was judged is not settled: a consumer that resumed
// in between stands at its checkpoint, where changes are missing.
func TestSettleRefusesARecordThatWentOn(t *testing.T) {
	r := New()
	r.Add(Line{What: Write})
	judged := len(r.Bytes())
	r.Add(Line{What: Open, Run: 2})
	if r.Settle(judged) {
		t.Error("settled, though a run was opened since")
	}
	if !r.Settle(len(r.Bytes())) {
		t.Error("not settled, though nothing was added since")
	}
	lines, err := Parse(bytes.NewReader(r.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 3 || lines[2].What != Settled {
		t.Errorf("the record is %v, want its last line of three to be %q", lines, Settled)
	}
}
