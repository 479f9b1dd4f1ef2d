package celerianttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/celeriant/celeriant-go/internal/diskfile"
)

// dataFolder is the folder of a node that keeps its data: one append-only file
// per shard, and the settings the data depends on.
type dataFolder struct {
	path string
	lock *os.File // held as long as the folder is in use
}

// settings are what must not change as long as the data lives.
type settings struct {
	Format             int    `json:"format"`
	Shards             int    `json:"num_shards"`
	Routing            string `json:"routing_rule"`
	ReserveCoordinator bool   `json:"reserve_coordinator_shard"`
}

const (
	settingsFile = "node.json"
	// referenceFile is in every data folder of the reference server.
	referenceFile = "server_meta.toml"
)

func settingsOf(o *Options) settings {
	return settings{Format: 1, Shards: o.Shards, Routing: o.Routing.String(), ReserveCoordinator: o.ReserveCoordinator}
}

// openDataFolder makes or reopens the folder. It refuses one that another
// process uses, one made with other settings, and one of the reference server.
func openDataFolder(path string, want settings) (*dataFolder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("celerianttest: making the data folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, referenceFile)); err == nil {
		return nil, &OptionError{"DataRoot", fmt.Sprintf("%s is a data folder of the reference server", path)}
	}
	lock, err := diskfile.Lock(filepath.Join(path, "lock"))
	if errors.Is(err, diskfile.ErrLocked) {
		return nil, fmt.Errorf("celerianttest: the data folder %s is in use: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("celerianttest: opening the data folder: %w", err)
	}
	f := &dataFolder{path: path, lock: lock}
	if err := f.settle(want); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// settle compares the settings with those on disk, or stores them in a new folder.
func (f *dataFolder) settle(want settings) error {
	path := filepath.Join(f.path, settingsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return storeSettings(path, want)
	}
	if err != nil {
		return fmt.Errorf("celerianttest: reading the settings of the data: %w", err)
	}
	var have settings
	if err := json.Unmarshal(text, &have); err != nil {
		return fmt.Errorf("celerianttest: reading %s: %w", path, err)
	}
	if have != want {
		return &OptionError{"DataRoot", fmt.Sprintf("%s was made with %+v, not %+v", f.path, have, want)}
	}
	return nil
}

// storeSettings writes a whole file or none, whenever the process dies.
func storeSettings(path string, s settings) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("celerianttest: encoding the settings of the data: %w", err)
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("celerianttest: storing the settings of the data: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("celerianttest: storing the settings of the data: %w", err)
	}
	return nil
}

func (f *dataFolder) logPath(shard int) string {
	return filepath.Join(f.path, fmt.Sprintf("shard_%d.log", shard))
}

// close gives the folder free; the system does the same when the process dies.
func (f *dataFolder) close() error { return f.lock.Close() }
