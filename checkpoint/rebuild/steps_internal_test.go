package rebuild

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// Each case is a state that steps leave which were killed, or overtaken, at some point.
func TestStart(t *testing.T) {
	for what, test := range map[string]func(s *stage){
		"a predecessor that does not exist": func(s *stage) {
			s.deleted(Start(s.Context(), s, "b", "x", "test"))
		},
		"a predecessor that was given up": func(s *stage) {
			s.put("a", "x", Superseded, one)
			_, err := Start(s.Context(), s, "b", "a", "test")
			s.superseded("x", err)
		},
		"a predecessor that is being built": func(s *stage) {
			s.put("a", "x", Building, checkpoint.Token{})
			s.refused(Start(s.Context(), s, "b", "a", "test"))
		},
		"a predecessor that another one took the place of": func(s *stage) {
			s.put("c", "a", Current, one)
			s.over("a", "c", one)
			_, err := Start(s.Context(), s, "b", "a", "test")
			s.superseded("c", err)
		},
		"a predecessor that was superseded, and the rebuild given up": func(s *stage) {
			s.put("b", "a", Superseded, two)
			s.over("a", "b", one)
			s.done(Start(s.Context(), s, "b", "a", "test"))
			s.is("b", Building)
			s.free("a")
		},
		"a rebuild of another one": func(s *stage) {
			s.put("b", "x", Building, checkpoint.Token{})
			s.refused(Start(s.Context(), s, "b", "a", "test"))
		},
		"a subscription of its own": func(s *stage) {
			s.claim("b")
			s.refused(Start(s.Context(), s, "b", "a", "test"))
		},
		"one that is current": func(s *stage) {
			s.claim("b")
			s.put("b", "a", Current, one)
			s.done(Start(s.Context(), s, "b", "a", "test"))
			s.is("b", Current)
		},
		"one that was current, and was rolled back": func(s *stage) {
			s.claim("b")
			s.put("b", "a", Current, one)
			s.put("a", "b", Current, two)
			s.over("b", "a", two)
			s.done(Start(s.Context(), s, "b", "a", "test"))
			s.is("b", Building)
			s.free("b")
		},
		"a current one that nobody supersedes any more": func(s *stage) {
			s.claim("b")
			s.put("b", "a", Current, one)
			s.over("b", "a", two)
			s.done(Start(s.Context(), s, "b", "a", "test"))
			s.is("b", Current)
			s.free("b")
		},
		"one name": func(s *stage) { s.refused(Start(s.Context(), s, "a", "a", "test")) },
	} {
		t.Run(what, func(t *testing.T) { test(newStage(t, "a")) })
	}
}

func TestCutOver(t *testing.T) {
	for what, test := range map[string]func(s *stage){
		"it tells the owners": func(s *stage) {
			owner := s.claim("a")
			s.done(CutOver(s.Context(), s, "b", "test"))
			s.mayNotSave(owner)
			records, _, err := s.Records(s.Context(), "", checkpoint.SignalPrefix+"a")
			if err != nil || len(records) != 1 {
				t.Errorf("signals %v, %v", records, err)
			}
		},
		"another cut-over's claim is replaced": func(s *stage) {
			s.put("b", "a", Draining, two)
			s.over("a", "b", one)
			s.done(CutOver(s.Context(), s, "b", "test"))
			s.fenced("a", "b", two)
		},
		"it begins while another one has the place": func(s *stage) {
			s.over("a", "c", one)
			_, err := CutOver(s.Context(), s, "b", "test")
			s.superseded("c", err)
			s.is("b", Building)
		},
		"it goes on while another one has the place": func(s *stage) {
			s.put("b", "a", Draining, two)
			s.over("a", "c", one)
			_, err := CutOver(s.Context(), s, "b", "test")
			s.superseded("c", err)
			s.fenced("a", "c", one)
		},
		"it begins, and there is no predecessor": func(s *stage) {
			s.put("b", "x", Building, checkpoint.Token{})
			s.deleted(CutOver(s.Context(), s, "b", "test"))
			s.is("b", Building)
		},
		"it goes on, and there is no predecessor": func(s *stage) {
			s.put("b", "x", Draining, one)
			s.deleted(CutOver(s.Context(), s, "b", "test"))
			if o, err := s.Describe(s.Context(), "x"); err != nil || o.Claimed {
				t.Errorf("it made a subscription: %+v, %v", o, err)
			}
		},
		"to one that was given up": func(s *stage) {
			s.put("b", "a", Superseded, one)
			s.refused(CutOver(s.Context(), s, "b", "test"))
			s.is("b", Superseded)
		},
		"to one that is current": func(s *stage) {
			s.put("b", "a", Current, one)
			s.done(CutOver(s.Context(), s, "b", "test"))
			s.is("b", Current)
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t, "a", "b")
			s.put("b", "a", Building, checkpoint.Token{})
			test(s)
		})
	}
}

func TestTakingBack(t *testing.T) {
	for what, test := range map[string]func(s *stage){
		"giving up frees the predecessor, and fences the rebuild": func(s *stage) {
			s.put("b", "a", Building, checkpoint.Token{})
			s.done(CutOver(s.Context(), s, "b", "test"))
			owner := s.claim("b")
			s.done(Abort(s.Context(), s, "b", "test"))
			s.free("a")
			s.mayNotSave(owner)
		},
		"giving up what is current": func(s *stage) {
			s.put("b", "a", Current, one)
			s.refused(Abort(s.Context(), s, "b", "test"))
			s.is("b", Current)
		},
		"rolling back to what was removed": func(s *stage) {
			s.put("b", "a", Current, one)
			s.done(Remove(s.Context(), s, "b", "test"))
			s.refused(Rollback(s.Context(), s, "b", "test"))
		},
		"removing what is rolled back to": func(s *stage) {
			s.put("b", "a", Current, one)
			s.put("a", "b", Building, checkpoint.Token{})
			s.refused(Remove(s.Context(), s, "b", "test"))
			s.free("a")
		},
		"removing before it is current": func(s *stage) {
			s.put("b", "a", Draining, one)
			s.refused(Remove(s.Context(), s, "b", "test"))
			s.free("a")
		},
		"finishing before it drains": func(s *stage) {
			s.put("b", "a", Building, one)
			r, _ := Load(s.Context(), s, "b")
			r, _, err := Finish(s.Context(), s, r)
			s.refused(r, err)
		},
		"finishing what was given up meanwhile": func(s *stage) {
			s.put("b", "a", Draining, one)
			r, _ := Load(s.Context(), s, "b")
			s.done(Abort(s.Context(), s, "b", "test"))
			if _, finished, err := Finish(s.Context(), s, r); err != nil || finished {
				t.Errorf("finished %v, %v", finished, err)
			}
			s.is("b", Superseded)
		},
	} {
		t.Run(what, func(t *testing.T) { test(newStage(t, "a", "b")) })
	}
}

func TestOpen(t *testing.T) {
	for what, test := range map[string]func(s *stage){
		"a predecessor that was left superseded": func(s *stage) {
			s.put("b", "a", Superseded, two)
			s.over("a", "b", one)
			if _, is, err := Open(s.Context(), s, "a"); is || err != nil {
				t.Errorf("%v, %v", is, err)
			}
			s.free("a")
		},
		"one that was given up, but for the claims": func(s *stage) {
			s.put("b", "a", Superseded, two)
			s.over("a", "b", one)
			_, _, err := Open(s.Context(), s, "b")
			s.superseded("a", err)
			s.fenced("b", "a", two)
			s.free("a")
		},
		"a draining one, but for the claims": func(s *stage) {
			s.put("b", "a", Draining, one)
			if r, is, err := Open(s.Context(), s, "b"); !is || err != nil || !r.Gated() {
				t.Errorf("%+v, %v, %v", r, is, err)
			}
			s.fenced("a", "b", one)
		},
		"one that was removed": func(s *stage) {
			s.put("b", "a", Current, one)
			s.done(Remove(s.Context(), s, "b", "test"))
			_, _, err := Open(s.Context(), s, "a")
			s.superseded("b", err)
		},
		"one that was removed, and is built anew": func(s *stage) {
			s.putRecord(Rebuild{Name: "b", From: "a", State: Current, Token: one, Removed: true})
			s.put("a", "b", Building, checkpoint.Token{})
			if r, is, err := Open(s.Context(), s, "a"); !is || err != nil || r.From != "b" {
				t.Errorf("%+v, %v, %v", r, is, err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) { test(newStage(t, "a", "b")) })
	}
}

// A supersession counts only while the step that it is of stands.
func TestRightful(t *testing.T) {
	over := checkpoint.Supersession{By: "b", Token: one}
	for what, test := range map[string]struct {
		all  []Rebuild
		want bool
	}{
		"the records are gone":                   {nil, true},
		"the rebuild drains":                     {[]Rebuild{{Name: "b", From: "a", State: Draining, Token: one}}, true},
		"the rebuild is current":                 {[]Rebuild{{Name: "b", From: "a", State: Current, Token: one}}, true},
		"the rebuild drains, by a later step":    {[]Rebuild{{Name: "b", From: "a", State: Draining, Token: two}}, false},
		"the rebuild is current by a later step": {[]Rebuild{{Name: "b", From: "a", State: Current, Token: two}}, false},
		"the rebuild is built":                   {[]Rebuild{{Name: "b", From: "a", State: Building}}, false},
		"the rebuild was given up":               {[]Rebuild{{Name: "b", From: "a", State: Superseded, Token: one}}, false},
		"it is a rebuild of another one":         {[]Rebuild{{Name: "b", From: "x", State: Current, Token: one}}, false},
		"it is rolled back to":                   {[]Rebuild{{Name: "b", From: "a", State: Current, Token: one}, {Name: "a", From: "b", State: Building}}, false},
		"it was given up for the other one":      {[]Rebuild{{Name: "a", From: "b", State: Superseded, Token: one}}, true},
		"it is current":                          {[]Rebuild{{Name: "a", From: "b", State: Current, Token: one}}, false},
	} {
		all := make(Rebuilds)
		for _, r := range test.all {
			all[r.Name] = r
		}
		if got := all.rightful("a", over); got != test.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestExplainAndScope(t *testing.T) {
	s := newStage(t, "a")
	if err := Explain(s.Context(), s, "a", checkpoint.ErrFenced); err != checkpoint.ErrFenced {
		t.Errorf("a fence without a cut-over: %v", err)
	}
	s.over("a", "b", one)
	err := Explain(s.Context(), s, "a", checkpoint.ErrFenced)
	s.superseded("b", err)
	if again := Explain(s.Context(), s, "a", err); again != err {
		t.Errorf("explained twice: %v", again)
	}
	other := errors.New("other")
	if err := Explain(s.Context(), s, "a", other); err != other {
		t.Errorf("another refusal: %v", err)
	}
	if scope, err := ScopeOf(s.Context(), s, "a"); err != nil || scope != plain {
		t.Errorf("the scope is %q, %v", scope, err)
	}
	s.putRecord(Rebuild{Name: "b", From: "a", State: "odd"})
	if _, err := List(s.Context(), s); err == nil {
		t.Error("a state that is none is taken")
	}
}
