package checkpointtest_test

import (
	"sync"

	"github.com/celeriant/celeriant-go/checkpoint"
)

// luck makes the schedules certain in which faults of concurrency show. The
// test waits for the process that must come in between: by their rules it comes without waiting
// itself. All of it happens once and belongs to the platter's lock.
type luck struct {
	turned   sync.Cond
	acquired int
	loads    int
	half     *half
}

// half is a save between its check and its write.
type half struct {
	owner   checkpoint.Owner
	entries []checkpoint.Entry
	written bool
	err     error
}

func newPlatter() *platter {
	p := &platter{subs: map[string]sub{}}
	p.luck.turned.L = &p.mu
	return p
}

func (l *luck) turn(count *int) {
	*count++
	l.turned.Broadcast()
}

func (l *luck) await(turned func() bool) {
	for !turned() {
		l.turned.Wait()
	}
}

// awaitTakeover lets another owner take over and look around.
func (s *flawed) awaitTakeover() {
	l := &s.luck
	acquired, loads := l.acquired, l.loads
	l.await(func() bool { return l.acquired > acquired && l.loads > loads })
}

// saveInTwoSteps checks the fence and writes after the first look around of
// whoever took over in between.
func (s *flawed) saveInTwoSteps(o checkpoint.Owner, entries []checkpoint.Entry) error {
	l := &s.luck
	if l.half != nil || !s.subs[o.Name].owns(o) {
		return s.save(o, entries)
	}
	h := &half{owner: o, entries: entries}
	l.half = h
	l.turned.Broadcast()
	l.await(func() bool { return h.written })
	return h.err
}

// awaitHalfSaved delays the first takeover until a save has passed its check.
func (s *flawed) awaitHalfSaved(name string) {
	s.luck.await(func() bool { return s.subs[name].epoch == 0 || s.luck.half != nil })
}

// finishSave is the second step of a save whose owner was superseded.
func (s *flawed) finishSave(name string) {
	h := s.luck.half
	if h == nil || h.written || h.owner.Name != name || s.subs[name].epoch == h.owner.Epoch {
		return
	}
	h.err = s.save(checkpoint.Owner{Name: name, Epoch: s.subs[name].epoch, Token: s.subs[name].token}, h.entries)
	h.written = true
}

// saveCrossed holds the first save after its check until there is another one
// of the same key, and writes the lower one last.
func (s *flawed) saveCrossed(o checkpoint.Owner, entries []checkpoint.Entry) error {
	l := &s.luck
	cursors := s.subs[o.Name].cursors
	if _, err := checkpoint.Advance(entries, s.stored(s.subs[o.Name], entries)); err != nil {
		return err
	}
	first := l.half
	switch {
	case first == nil:
		h := &half{entries: entries}
		l.half = h
		l.await(func() bool { return h.written })
		return nil
	case first.written || first.entries[0].Key != entries[0].Key:
		return s.save(o, entries)
	}
	cursors[entries[0].Key] = lower(first.entries[0].Cursor, entries[0].Cursor)
	first.written = true
	l.turned.Broadcast()
	return nil
}

func lower(a, b checkpoint.Cursor) checkpoint.Cursor {
	if a.Compare(b) < 0 {
		return a
	}
	return b
}
