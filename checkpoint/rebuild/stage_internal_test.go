package rebuild

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// stage is a store whose states a test sets, as steps that were killed leave them.
type stage struct {
	*testing.T
	*checkpoint.Memory
}

const plain = "types 1/2"

var one, two = checkpoint.Token{1}, checkpoint.Token{2}

func newStage(t *testing.T, names ...string) *stage {
	s := &stage{t, checkpoint.NewMemory()}
	for _, name := range names {
		s.claim(name)
	}
	return s
}

func (s *stage) claim(name string) checkpoint.Owner {
	s.Helper()
	owner, err := s.Acquire(s.Context(), checkpoint.Claim{Name: name, Scope: plain})
	if err != nil {
		s.Fatal(err)
	}
	return owner
}

// over has name superseded by another one.
func (s *stage) over(name, by string, token checkpoint.Token) {
	s.Helper()
	text := checkpoint.Supersession{By: by, Token: token, Scope: plain}.ScopeText()
	if _, err := s.Acquire(s.Context(), checkpoint.Claim{Name: name, Scope: text, Replaces: []string{plain}}); err != nil {
		s.Fatal(err)
	}
}

// put stores that name is a rebuild.
func (s *stage) put(name, from string, state State, token checkpoint.Token) {
	s.Helper()
	s.putRecord(Rebuild{Name: name, From: from, State: state, Token: token})
}

func (s *stage) putRecord(r Rebuild) {
	s.Helper()
	m := checkpoint.Mutation{Records: []checkpoint.RecordChange{{Key: Prefix + r.Name, Value: r.encode(), Any: true}}}
	if err := s.Apply(s.Context(), "", m); err != nil {
		s.Fatal(err)
	}
}

// is wants a rebuild in a state.
func (s *stage) is(name string, want State) {
	s.Helper()
	if r, err := Load(s.Context(), s, name); err != nil || r.State != want {
		s.Errorf("%q is %+v, %v, want %s", name, r, err, want)
	}
}

// free wants that anybody may claim name.
func (s *stage) free(name string) {
	s.Helper()
	if o, err := s.Describe(s.Context(), name); err != nil || !o.Claimed || o.Scope != plain {
		s.Errorf("%q stands at %+v, %v", name, o, err)
	}
}

// fenced wants that name is superseded by the one that the token is of.
func (s *stage) fenced(name, by string, token checkpoint.Token) {
	s.Helper()
	o, err := s.Describe(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	want := checkpoint.Supersession{By: by, Token: token, Scope: plain}
	if got, ok, err := checkpoint.ParseSupersession(name, o.Scope); err != nil || !ok || got != want {
		s.Errorf("%q stands at %+v, %v, %v, want %+v", name, got, ok, err, want)
	}
}

func (s *stage) done(_ Rebuild, err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// refused wants that a state forbids a step.
func (s *stage) refused(r Rebuild, err error) {
	s.Helper()
	if _, is := errors.AsType[*StateError](err); !is {
		s.Errorf("it is %+v, %v", r, err)
	}
}

// superseded wants that the one named by stands in the way of a step.
func (s *stage) superseded(by string, err error) {
	s.Helper()
	if refusal, is := errors.AsType[*checkpoint.SupersededError](err); !is || refusal.By != by {
		s.Errorf("the error is %v, want one that names %q", err, by)
	}
}

func (s *stage) deleted(_ Rebuild, err error) {
	s.Helper()
	if !errors.Is(err, checkpoint.ErrDeleted) {
		s.Errorf("the error is %v", err)
	}
}

func (s *stage) mayNotSave(owner checkpoint.Owner) {
	s.Helper()
	err := s.Save(s.Context(), owner, []checkpoint.Entry{{Key: msg.Key{Org: msg.IDFromUint64(1)}, Cursor: checkpoint.Cursor{Version: 1}}})
	if !errors.Is(err, checkpoint.ErrFenced) {
		s.Errorf("an owner of %q saved: %v", owner.Name, err)
	}
}
