package local

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
)

const pairCommands = `Commands to a pair (NODE is a, b, leader or follower):
  state                 show the pair, as every command does when it is done
  failover              promote the other node now
  kill NODE             end its process; the other one takes over from a leader
  restart NODE          start it again, on its data
  pause NODE            let it take requests and stay silent
  resume NODE           let it go on
  fence NODE            take its part away; it rejoins by itself
  cut, restore          the link between the nodes
  lag DURATION          how long the follower shows less than the leader, such as 500ms
  freeze, thaw          whether the follower hears of commits
  hold, release         whether the leader hears what the follower stored
  hint WHAT             what is told about the leader: live, absent, stale or HOST:PORT
  help                  show this
`

// wantsHelp asks for the list of commands; as an error it is the list.
type wantsHelp struct{}

func (wantsHelp) Error() string { return pairCommands }

// command carries out one command to a pair.
func command(pair *celerianttest.Pair, line string) error {
	words := strings.Fields(strings.ToLower(line))
	if len(words) == 0 {
		return errors.New("no command; help lists them")
	}
	name, rest := words[0], words[1:]
	if do, known := plainCommands[name]; known && len(rest) == 0 {
		return do(pair)
	}
	if do, known := wordCommands[name]; known && len(rest) == 1 {
		return do(pair, rest[0])
	}
	if do, known := nodeCommands[name]; known && len(rest) == 1 {
		node, err := nodeOf(pair, rest[0])
		if err != nil {
			return err
		}
		return do(pair, node)
	}
	return fmt.Errorf("no such command: %q; help lists them", strings.TrimSpace(line))
}

func always(do func(*celerianttest.Pair)) func(*celerianttest.Pair) error {
	return func(p *celerianttest.Pair) error {
		do(p)
		return nil
	}
}

var plainCommands = map[string]func(*celerianttest.Pair) error{
	"state":    func(*celerianttest.Pair) error { return nil },
	"help":     func(*celerianttest.Pair) error { return wantsHelp{} },
	"failover": (*celerianttest.Pair).FailOver,
	"cut":      always((*celerianttest.Pair).CutLink),
	"restore":  always((*celerianttest.Pair).RestoreLink),
	"freeze":   always((*celerianttest.Pair).FreezeLag),
	"thaw":     always((*celerianttest.Pair).ThawLag),
	"hold":     always((*celerianttest.Pair).HoldAcks),
	"release":  always((*celerianttest.Pair).ReleaseAcks),
}

var nodeCommands = map[string]func(*celerianttest.Pair, *celerianttest.Node) error{
	"kill":    (*celerianttest.Pair).Kill,
	"restart": (*celerianttest.Pair).Restart,
	"pause":   (*celerianttest.Pair).Pause,
	"resume":  (*celerianttest.Pair).Resume,
	"fence":   (*celerianttest.Pair).Fence,
}

var wordCommands = map[string]func(*celerianttest.Pair, string) error{
	"lag": func(p *celerianttest.Pair, word string) error {
		lag, err := time.ParseDuration(word)
		if err != nil || lag < 0 {
			return fmt.Errorf("%q is no duration such as 500ms", word)
		}
		p.SetLag(lag)
		return nil
	},
	"hint": func(p *celerianttest.Pair, word string) error {
		hint := celerianttest.Hint(word)
		switch {
		case word == "live":
			hint = celerianttest.HintLive
		case hint != celerianttest.HintAbsent && hint != celerianttest.HintStale && !strings.Contains(word, ":"):
			return fmt.Errorf("%q is none of live, absent, stale and HOST:PORT", word)
		}
		p.SetHint(hint)
		return nil
	},
}

// nodeOf finds the node a word means.
func nodeOf(pair *celerianttest.Pair, word string) (*celerianttest.Node, error) {
	node, known := map[string]func() *celerianttest.Node{
		"a": pair.A, "b": pair.B, "leader": pair.Leader, "follower": pair.Follower,
	}[word]
	if !known {
		return nil, fmt.Errorf("%q is none of a, b, leader and follower", word)
	}
	if n := node(); n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("there is no %s now", word)
}

// inWords is the state on one line.
func inWords(s celerianttest.PairState) string {
	var parts []string
	for _, n := range s.Nodes {
		parts = append(parts, fmt.Sprintf("%s %s at %s, %d of %d changes shown", n.Name, n.State, n.Address, n.Shown, n.Stored))
	}
	parts = append(parts, fmt.Sprintf("lag %gms", s.Lag))
	for _, trait := range []struct {
		on   bool
		name string
	}{{s.Cut, "link cut"}, {s.Frozen, "commits frozen"}, {s.Held, "acknowledgements held"}, {s.Hint != "", "hint " + string(s.Hint)}} {
		if trait.on {
			parts = append(parts, trait.name)
		}
	}
	return strings.Join(parts, "; ")
}
