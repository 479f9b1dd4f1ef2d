package checkpoint

import (
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const failingPrefix = "failing/"

// Failing is a change that is handled again and again in vain. A Failing is
// stored once the change has failed for a minute, so that a hand-over or a
// deployment neither restarts the clock nor the count of attempts.
type Failing struct {
	Key msg.Key
	// Life and Version are of the change. A Failing of another life or version
	// than what is handled next tells nothing about that.
	Life         uint64
	Version      uint64
	Attempts     int
	FirstFailure time.Time
	// Error is the last failure; see [ErrorText].
	Error string
}

type failingJSON struct {
	Format int `json:"format"`
	keyText
	Life         uint64    `json:"life"`
	Version      uint64    `json:"version"`
	Attempts     int       `json:"attempts"`
	FirstFailure time.Time `json:"first_failure"`
	Error        string    `json:"error"`
}

func decodeFailing(r Record) (Failing, error) {
	var j failingJSON
	if err := decodeRecord(r, &j); err != nil {
		return Failing{}, err
	}
	return Failing{Key: j.key(), Life: j.Life, Version: j.Version, Attempts: j.Attempts, FirstFailure: j.FirstFailure, Error: j.Error}, nil
}

// Fails adds to the mutation that a change keeps failing, in place of what was
// stored of its aggregate before.
func (m *Mutation) Fails(f Failing) {
	value := encodeRecord(failingJSON{
		Format: recordFormat, keyText: textOf(f.Key), Life: f.Life, Version: f.Version,
		Attempts: f.Attempts, FirstFailure: f.FirstFailure.UTC(), Error: f.Error,
	})
	m.Records = append(m.Records, RecordChange{Key: aggregateRecord(failingPrefix, f.Key), Value: value, Any: true})
}

// Recovered adds to the mutation that nothing of the aggregate is failing.
func (m *Mutation) Recovered(key msg.Key) {
	m.Records = append(m.Records, RecordChange{Key: aggregateRecord(failingPrefix, key), Any: true})
}
