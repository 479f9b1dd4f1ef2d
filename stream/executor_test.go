package stream

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// oracle is a source that only tells who leads, and notes what it was asked.
type oracle struct {
	Source
	leader   string
	noLeader error
	leads    pool.Leadership
	unknown  error
	asked    []string
}

func (o *oracle) Leader(ctx context.Context) (string, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return "", errors.New("the search for a leader has no bound")
	}
	return o.leader, o.noLeader
}

func (o *oracle) Leads(_ context.Context, node string) (pool.Leadership, error) {
	o.asked = append(o.asked, "leads "+node)
	return o.leads, o.unknown
}

// An answer is the leader's word only of a node that leads after it has given it;
// so is a refusal, but no failure to answer.
func TestLeadersWord(t *testing.T) {
	refusal, lost, unknown := &msg.ServerError{Code: msg.CodeReadNotFound}, errors.New("lost"), errors.New("unknown")
	both := []string{"ask n", "leads n"}
	for _, c := range []struct {
		name   string
		node   string
		src    oracle
		answer error
		asked  []string
		leads  pool.Leadership
		err    error
	}{
		{"it leads", "n", oracle{leads: pool.Leading}, nil, both, pool.Leading, nil},
		{"the one that is found leads", "", oracle{leader: "n", leads: pool.Leading}, nil, both, pool.Leading, nil},
		{"it leads no more", "n", oracle{leads: pool.Following}, nil, both, pool.Following, nil},
		{"it does not tell", "n", oracle{}, nil, both, 0, nil},
		{"it does not say", "n", oracle{unknown: unknown}, nil, both, 0, unknown},
		{"it refuses and leads", "n", oracle{leads: pool.Leading}, refusal, both, pool.Leading, refusal},
		{"it refuses and leads no more", "n", oracle{leads: pool.Following}, refusal, both, pool.Following, refusal},
		{"it refuses and does not say", "n", oracle{leads: pool.Leading, unknown: unknown}, refusal, both, 0, refusal},
		{"it does not answer", "n", oracle{leads: pool.Leading}, lost, []string{"ask n"}, 0, lost},
		{"nobody leads", "", oracle{noLeader: lost}, nil, nil, 0, lost},
	} {
		src := c.src
		x := &executor{s: &Subscription{src: &src}, agreement: newAgreement(&src)}
		node, leads, err := x.atLeader(t.Context(), c.node, func(_ context.Context, node string) error {
			src.asked = append(src.asked, "ask "+node)
			return c.answer
		})
		if !slices.Equal(src.asked, c.asked) || leads != c.leads || err != c.err || err == nil && node != "n" {
			t.Errorf("%s: asked %q, %q leads: %v, %v", c.name, src.asked, node, leads, err)
		}
	}
}
