package checkpoint

import (
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

const stoppedPrefix = "stopped/"

// Stopped is a partition whose handler gave up. Nobody takes it until it is
// resumed or another handler version is declared, so that one event cannot end
// every process in turn; other partitions go on. A subscription without
// partitions is partition 0.
type Stopped struct {
	Partition uint32
	// Key and Version are of the change that could not be handled.
	Key     msg.Key
	Version uint64
	// Error is why; see [ErrorText].
	Error string
	// By names the process that gave up, and Handler the handler version it ran.
	By      string
	Handler string
	Since   time.Time
	// Revision is of the record this was read from.
	Revision uint64
}

// Blocks reports whether the partition must not be taken by a process that runs
// this handler version.
func (s Stopped) Blocks(handler string) bool { return s.Handler == handler }

type stoppedJSON struct {
	Format    int    `json:"format"`
	Partition uint32 `json:"partition"`
	keyText
	Version uint64    `json:"version"`
	Error   string    `json:"error"`
	By      string    `json:"by,omitempty"`
	Handler string    `json:"handler,omitempty"`
	Since   time.Time `json:"since"`
}

func stoppedRecord(partition uint32) string { return fmt.Sprintf(stoppedPrefix+"%04d", partition) }

func decodeStopped(r Record) (Stopped, error) {
	var j stoppedJSON
	if err := decodeRecord(r, &j); err != nil {
		return Stopped{}, err
	}
	return Stopped{
		Partition: j.Partition, Key: j.key(), Version: j.Version, Error: j.Error, By: j.By, Handler: j.Handler,
		Since: j.Since, Revision: r.Revision,
	}, nil
}

// Stop adds to the mutation that a partition is stopped.
func (m *Mutation) Stop(s Stopped) {
	value := encodeRecord(stoppedJSON{
		Format: recordFormat, Partition: s.Partition, keyText: textOf(s.Key), Version: s.Version,
		Error: s.Error, By: s.By, Handler: s.Handler, Since: s.Since.UTC(),
	})
	m.Records = append(m.Records, RecordChange{Key: stoppedRecord(s.Partition), Value: value, Any: true})
}

// Restart adds to the mutation that a partition is no longer stopped, as a
// process with another handler version does when it takes the partition. The
// mutation is refused with a [*RevisionError] if the record changed since s was
// read.
func (m *Mutation) Restart(s Stopped) {
	m.Records = append(m.Records, RecordChange{Key: stoppedRecord(s.Partition), Revision: s.Revision})
}
