package storm

import (
	"context"
	"slices"

	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/record"
	"github.com/celeriant/celeriant-go/celerianttest/conformance/internal/world"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// members is a scope that changes: one member stays, so that there is always
// something to come, the others join and leave.
type members struct {
	keys   []msg.Key // all there are
	stays  stream.Scope
	others []stream.Scope
	in     []bool // of the others
	told   map[msg.Key]bool
}

// newMembers makes members of all kinds: the types and organisations there are,
// and each aggregate that is of the first one's type. The types and organisations
// of others are in at first.
func newMembers(keys []msg.Key) *members {
	first := keys[0]
	m := &members{keys: keys, stays: stream.Aggregates(first), told: make(map[msg.Key]bool)}
	seen := make(map[string]bool)
	for _, key := range keys {
		member, in := stream.Orgs(key.Org), true
		switch {
		case key == first:
			member, in = stream.Types(key.Org, key.Type), false
		case key.Org == first.Org && key.Type == first.Type:
			member, in = stream.Aggregates(key), false
		case key.Org == first.Org:
			member = stream.Types(key.Org, key.Type)
		}
		if text := member.String(); !seen[text] {
			seen[text] = true
			m.others, m.in = append(m.others, member), append(m.in, in)
		}
	}
	return m
}

func (m *members) scope() stream.Scope {
	scope := m.stays
	for i, member := range m.others {
		if m.in[i] {
			scope = stream.Union(scope, member)
		}
	}
	return scope
}

// tell records what a scope, which nobody follows yet, holds.
func (m *members) tell(v record.Voice, scope stream.Scope) {
	for _, key := range m.keys {
		switch in := scope.Contains(key); {
		case in && !m.told[key]:
			v.Add(record.Line{What: record.Join, Key: key.String()})
		case !in && m.told[key]:
			v.Add(record.Line{What: record.Left, Key: key.String()})
		}
		m.told[key] = scope.Contains(key)
	}
}

// swap has a member join a subscription, or leave it. Where it fails, the scope
// that is opened next is the one of before.
func (m *members) swap(ctx context.Context, v record.Voice, s *stream.Subscription, i int) error {
	change, scope := s.Add, stream.Union(m.scope(), m.others[i])
	if m.in[i] {
		change, scope = s.Remove, m.scope().Without(m.others[i])
	}
	var leaving []msg.Key
	for _, key := range m.keys {
		if in := scope.Contains(key); in && !m.told[key] {
			m.told[key] = true
			v.Add(record.Line{What: record.Join, Key: key.String()})
		} else if !in && m.told[key] {
			leaving = append(leaving, key)
			v.Add(record.Line{What: record.Leave, Key: key.String()})
		}
	}
	if err := change(ctx, m.others[i]); err != nil {
		for _, key := range leaving {
			m.told[key] = false // they join again
		}
		return err
	}
	m.in[i] = !m.in[i]
	m.tell(v, scope)
	return nil
}

// roam takes slices while the scope changes. All that was taken is stored before
// anything joins or leaves, so that what joins again resumes just there.
func (r *reader) roam(ctx context.Context, s *stream.Subscription, run int) error {
	for {
		changes, err := r.slice(ctx, s, run)
		if err != nil {
			return err
		}
		if r.steady.Load() {
			if slices.ContainsFunc(changes, world.CaughtUp) {
				err = r.gather(ctx, s)
			}
		} else if r.rng.IntN(2) == 0 {
			err = r.members.swap(ctx, r.Voice, s, r.rng.IntN(len(r.members.others)))
		}
		if err != nil {
			return err
		}
	}
}

// gather has everything join that has not.
func (r *reader) gather(ctx context.Context, s *stream.Subscription) error {
	for i, in := range r.members.in {
		if !in {
			if err := r.members.swap(ctx, r.Voice, s, i); err != nil {
				return err
			}
		}
	}
	return nil
}
