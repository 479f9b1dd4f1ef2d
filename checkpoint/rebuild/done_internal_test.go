package rebuild

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

func TestDone(t *testing.T) {
	for what, test := range map[string]struct {
		parts []Part
		want  bool
	}{
		"none":                      {nil, false},
		"one of one":                {[]Part{{Token: one, Count: 1}}, true},
		"one of two":                {[]Part{{Token: one, Count: 2}}, false},
		"both":                      {[]Part{{Token: one, Count: 2}, {Token: one, Partition: 1, Count: 2}}, true},
		"of another cut-over":       {[]Part{{Token: two, Count: 1}}, false},
		"of two cut-overs":          {[]Part{{Token: one, Count: 2}, {Token: two, Partition: 1, Count: 2}}, false},
		"of two generations":        {[]Part{{Token: one, Count: 2}, {Token: one, Partition: 1, Count: 2, Generation: 1}}, false},
		"one that is no part of it": {[]Part{{Token: one, Count: 2}, {Token: one, Partition: 2, Count: 2}}, false},
	} {
		s := newStage(t)
		owner := s.claim("b")
		mine := 0
		for _, p := range test.parts {
			if err := Done(t.Context(), s, owner, p); err != nil {
				t.Fatal(err)
			}
			if p.Token == one {
				mine++
			}
		}
		if got, err := AllDone(t.Context(), s, "b", one); err != nil || got != test.want {
			t.Errorf("%s: %v, %v", what, got, err)
		}
		if got, err := DoneParts(t.Context(), s, "b", one); err != nil || len(got) != mine {
			t.Errorf("%s: %v are done, %v", what, got, err)
		}
	}
}

// An owner that was replaced knows nothing of what the next one has handled.
func TestDoneIsForOwners(t *testing.T) {
	s := newStage(t)
	former := s.claim("b")
	s.claim("b")
	if err := Done(t.Context(), s, former, Part{Token: one, Count: 1}); !errors.Is(err, checkpoint.ErrFenced) {
		t.Errorf("the error is %v", err)
	}
	damaged := checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: donePrefix + "1x", Value: encode(partJSON{Format: format, Token: one, Count: 1}), Any: true}}}
	if err := s.Apply(t.Context(), "b", damaged); err != nil {
		t.Fatal(err)
	}
	if _, err := AllDone(t.Context(), s, "b", one); err == nil {
		t.Error("a record of no partition is taken")
	}
}
