package writer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/writer"
)

// storm makes a model lose, delay, refuse and hide at random, with siblings
// that write under the same client id.
type storm struct {
	*model
	random *rand.Rand
	late   []msg.WriteRequest
	trims  bool
}

func (s *storm) chance(percent int) bool { return s.random.IntN(100) < percent }

func (s *storm) beforeWrite(req *msg.WriteRequest) error {
	switch {
	case s.chance(15):
		s.append(me, s.floors[me]+1+s.random.Uint64N(2))
	case s.chance(15):
		s.append(other, s.floors[other]+1)
	}
	switch {
	case s.chance(10):
		return lost()
	case s.chance(10):
		s.late = append(s.late, *req)
		return lost()
	case s.chance(5):
		return refusal(msg.CodeServerBusy, "{}")
	case s.chance(5):
		s.late = append(s.late, *req)
		return refusal(msg.CodeInFlight, "{}")
	}
	s.arrivals()
	return nil
}

func (s *storm) afterWrite(*msg.WriteRequest) error {
	if s.chance(20) {
		return lost()
	}
	return nil
}

// arrivals lets late requests in, or never.
func (s *storm) arrivals() {
	for i := len(s.late) - 1; i >= 0; i-- {
		if s.chance(40) {
			s.apply(&s.late[i])
			s.late = append(s.late[:i], s.late[i+1:]...)
		}
	}
}

func (s *storm) beforeRead() {
	s.hidden = 0
	if s.chance(20) {
		s.hidden = s.random.IntN(3)
	}
	s.arrivals()
	if s.trims && s.version > 2 && s.chance(10) {
		s.floor = max(s.floor, 1+s.random.Uint64N(s.version))
	}
}

// In no run is a command applied twice; one that is reported applied
// is, and one that is reported certainly not applied is not, now or later.
func TestCommandsInAStorm(t *testing.T) {
	successes, unknown, found := 0, 0, 0
	for seed := range uint64(600) {
		s := &storm{model: newModel(), random: rand.New(rand.NewPCG(seed, 1)), trims: seed%3 == 0}
		s.model.beforeWrite, s.model.afterWrite, s.model.beforeRead = s.beforeWrite, s.afterWrite, s.beforeRead
		var sequences writer.Sequences
		path := filepath.Join(t.TempDir(), "sequences")
		conditional := seed%2 == 0
		fate := make(map[msg.ID]string)
		if seed%5 == 1 {
			sequences = new(writer.MemorySequences)
		}
		for i := range uint64(12) {
			if seed%150 < 2 { // a new process each time; few, since disks are slow
				if file, ok := sequences.(*writer.FileSequences); ok {
					file.Close()
				}
				sequences = openSequences(t, path)
			}
			cmd := writer.Command{Key: key, ID: msg.IDFromUint64(1000 + i)}
			out, err := attempt(s, sequences, cmd, conditional, 1+s.random.IntN(5))
			switch {
			case err == nil && out.Appended:
				fate[cmd.ID] = "applied"
				successes++
				if out.AlreadyApplied {
					found++
				}
				if got := s.versionOf(cmd.ID); got != out.Version {
					t.Fatalf("seed %d: command %d reported at version %d, is at %d", seed, i, out.Version, got)
				}
			case msg.Ambiguous(err):
				unknown++
			default:
				fate[cmd.ID] = "not applied"
			}
		}
		for len(s.late) > 0 {
			s.arrivals()
		}
		for i := range uint64(12) {
			id := msg.IDFromUint64(1000 + i)
			n := s.applied(id)
			if n > 1 || fate[id] == "applied" && n != 1 || fate[id] == "not applied" && n != 0 {
				t.Fatalf("seed %d: command %d, %q, was applied %d times", seed, i, fate[id], n)
			}
		}
	}
	t.Logf("%d applied (%d of them found), %d unknown", successes, found, unknown)
	if successes < 5000 || found < 500 || unknown < 50 {
		t.Errorf("the storm is one-sided: %d applied (%d found), %d unknown", successes, found, unknown)
	}
}

func (m *model) versionOf(command msg.ID) uint64 {
	for _, b := range m.ever {
		if b.Events[0].EventID == msg.Some(command) {
			return b.Version
		}
	}
	return 0
}

// attempt repeats a command until its fate is known, a few times.
func attempt(s *storm, sequences writer.Sequences, cmd writer.Command, conditional bool, times int) (out writer.Outcome, err error) {
	w, err := writer.New(s, writer.Options{ClientID: me, Sequences: sequences, Pause: time.Nanosecond})
	if err != nil {
		return out, err
	}
	inDoubt := false
	for range times {
		if conditional {
			out, err = writer.Execute(ctx, w, cmd, writer.Decision[int]{Decide: func(int, uint64) ([]msg.Event, error) {
				return make([]msg.Event, 1+s.random.IntN(3)), nil
			}})
		} else {
			out, err = w.Append(ctx, cmd, []msg.Event{{Major: 1}})
		}
		inDoubt = inDoubt || msg.Ambiguous(err)
		if err == nil {
			return out, nil
		}
	}
	if inDoubt && !msg.Ambiguous(err) {
		err = &writer.CommandError{Unknown: true, Err: errors.Join(err, fmt.Errorf("in doubt before"))}
	}
	return out, err
}
