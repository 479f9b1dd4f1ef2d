package fields

import (
	"encoding/binary"
	"testing"
)

func TestFieldsAreReadInOrderUntilOneIsMissing(t *testing.T) {
	r := New([]byte{1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 'a', 'b', 9}, binary.BigEndian)
	if a, b, c, d, e := r.Uint8(), r.Uint16(), r.Uint32(), r.Uint64(), r.Bytes(2); a != 1 || b != 2 || c != 3 || d != 4 || string(e) != "ab" || r.Bad {
		t.Errorf("read %d, %d, %d, %d, %q, bad %v", a, b, c, d, e, r.Bad)
	}
	if got := r.Uint16(); got != 0 || !r.Bad || len(r.Rest) != 1 {
		t.Errorf("two bytes of one are %d, bad %v, %d left", got, r.Bad, len(r.Rest))
	}
	if got := r.Uint8(); got != 0 {
		t.Errorf("behind a field that is missing there is %d", got)
	}
}
