package gateway

import (
	"slices"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	// mostFailing bounds the aggregates whose failures are counted.
	mostFailing = 10_000
	// failingAfter is how long a change fails before that is stored, so that the next
	// member goes on counting.
	failingAfter = time.Minute
)

// failures counts the failures of aggregates, each at one change.
type failures map[msg.Key]*failure

// failure counts the attempts at one change.
type failure struct {
	life, version uint64
	attempts      int
	first         time.Time
	stored        bool
}

func (f *failure) of(c *stream.Change) bool {
	return f.life == c.Cursor.Life && f.version == versionOf(c)
}

// versionOf is the version that a change is about.
func versionOf(c *stream.Change) uint64 {
	switch c.Kind {
	case stream.Batch:
		return c.Batch.Version
	case stream.Unreadable:
		return c.Version
	}
	return c.Cursor.Version
}

// count counts one more failure of a change.
func (f failures) count(c *stream.Change) *failure {
	at := f[c.Key]
	if at == nil || !at.of(c) {
		at = &failure{life: c.Cursor.Life, version: versionOf(c), first: time.Now()}
		f.add(c.Key, at)
	}
	at.attempts++
	return at
}

func (f failures) add(key msg.Key, at *failure) {
	if _, known := f[key]; known || len(f) < mostFailing {
		f[key] = at
	}
}

// restore takes up what an earlier member counted.
func (f failures) restore(stored []checkpoint.Failing) {
	for _, s := range stored {
		if _, known := f[s.Key]; !known {
			f.add(s.Key, &failure{life: s.Life, version: s.Version, attempts: s.Attempts, first: s.FirstFailure, stored: true})
		}
	}
}

// attempts is how often a change has failed.
func (f failures) attempts(c *stream.Change) uint32 {
	if at := f[c.Key]; at != nil && at.of(c) {
		return uint32(at.attempts)
	}
	return 0
}

// handled forgets the failures of what was handled and returns what is to be
// stored of that, nil for nothing.
func (f failures) handled(changes []stream.Change) *checkpoint.Mutation {
	if len(f) == 0 {
		return nil
	}
	var m *checkpoint.Mutation
	for i := range changes {
		c := &changes[i]
		at := f[c.Key]
		if at == nil {
			continue
		}
		delete(f, c.Key)
		if !at.stored {
			continue
		}
		if m == nil {
			m = new(checkpoint.Mutation)
		}
		if !slices.Contains(m.Owners, c.Owner) {
			m.Owners = append(m.Owners, c.Owner)
		}
		m.Recovered(c.Key)
	}
	return m
}
