package storefaults

import (
	"bytes"
	"fmt"
	"os"
)

// Applied is what a ledger says: how many entries it has, of how many versions of
// aggregates, by how many processes.
type Applied struct {
	Entries, Versions, Processes int
}

// readLedger reads the file of a ledger. A version that comes before the one that it
// follows is an error.
func readLedger(path string) (a Applied, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return a, err
	}
	newest, processes := map[uint64]uint64{}, map[int]bool{}
	for line := range bytes.Lines(text) {
		var b Batch
		var process int
		if _, err := fmt.Sscanf(string(line), "%d %d %d\n", &b.Aggregate, &b.Version, &process); err != nil {
			return a, fmt.Errorf("line %q: %w", line, err)
		}
		a.Entries++
		processes[process] = true
		switch was := newest[b.Aggregate]; {
		case b.Version > was+1:
			return a, fmt.Errorf("version %d of aggregate %d was applied behind version %d", b.Version, b.Aggregate, was)
		case b.Version == was+1:
			newest[b.Aggregate] = b.Version
			a.Versions++
		}
	}
	a.Processes = len(processes)
	return a, nil
}
